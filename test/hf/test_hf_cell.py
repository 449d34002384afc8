"""A trained cell as a Hugging Face folder: it hears what the cell hears."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
import yaml
from transformers import AutoModelForCTC, AutoProcessor, AutoTokenizer, pipeline

from espnet2.asr.config import EncoderSpec, TuneConfig
from espnet2.bin import export_cell
from espnet2.hf import XeusForCTC, XeusProcessor, XeusTokenizer
from espnet2.hf.cell_folder import save_cell
from espnet2.tasks.asr import ASRTask
from espnet2.utils.config import load_yaml, save_yaml
from espnet2.utils.errors import ConfigError


@pytest.fixture(scope="module")
def exported(tones, tmp_path_factory):
    """The cell's Hugging Face folder, far from the cell and its encoder."""
    out = tmp_path_factory.mktemp("elsewhere") / "joint"
    save_cell(tones[1], out, licence="cc-by-4.0", command="the command")
    return out


@pytest.fixture(scope="module")
def recognise(exported):
    return pipeline("automatic-speech-recognition", model=str(exported), trust_remote_code=False)


@pytest.fixture(scope="module")
def recogniser(tones):
    return ASRTask.build_model_from_file(model_file=tones[1])[0]


def test_a_pipeline_hears_what_the_task_hears_one_by_one_and_in_batches(
    recognise, recogniser, waves
):
    ours = recogniser.transcribe(waves)
    assert any(text.startswith("[") and len(text) > 6 for text in ours)
    assert [recognise(wave)["text"] for wave in waves] == ours
    assert [out["text"] for out in recognise(list(waves), batch_size=3)] == ours


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_pipeline_on_a_gpu_learns_and_hears_the_same(exported, recogniser, waves):
    recognise = pipeline("automatic-speech-recognition", model=str(exported), device="cuda")
    found = [out["text"] for out in recognise(list(waves), batch_size=3)]
    assert found == recogniser.transcribe(waves)
    wave = torch.from_numpy(waves[0])[None].cuda()
    loss = recognise.model.train()(wave, labels=torch.tensor([[2, 3]]).cuda(), use_mask=True).loss
    loss.backward()
    assert torch.isfinite(loss)


def test_what_is_too_short_for_a_token_is_no_text(recognise):
    assert [recognise(np.zeros(n, np.float32))["text"] for n in (1, 399, 2000)] == [""] * 3


def test_log_probabilities_are_the_cells_and_blank_behind_the_end(exported, recogniser, waves):
    model, info = AutoModelForCTC.from_pretrained(exported, output_loading_info=True)
    assert not info["missing_keys"] | info["unexpected_keys"]
    processor = AutoProcessor.from_pretrained(exported)
    assert isinstance(processor, XeusProcessor)
    by_length = sorted(waves, key=len)
    inputs = processor(audio=[by_length[-1], by_length[0]], return_tensors="pt")
    with torch.inference_mode():
        logits = model(**inputs).logits
        for wave, row in zip((by_length[-1], by_length[0]), logits, strict=True):
            one = torch.from_numpy(wave)[None]
            wanted, [count] = recogniser.model.log_probs(one, torch.tensor([len(wave)]))
            torch.testing.assert_close(row[:count], wanted[0, :count], rtol=0, atol=1e-4)
            assert (row[count:].argmax(1) == 0).all()
        assert count < len(row)  # the shorter one has rows behind its end


def test_the_loss_is_the_cells(exported, recogniser, waves):
    model = AutoModelForCTC.from_pretrained(exported)
    processor = AutoProcessor.from_pretrained(exported)
    texts = ["[dan] EN SORT", "[fra] LE"]
    inputs = processor(audio=waves[:2], text=texts, return_tensors="pt")
    assert inputs["labels"][1, -1] == -100
    ids = [recogniser.vocabulary.encode(text) for text in texts]
    assert inputs["labels"][1, : len(ids[1])].tolist() == ids[1]
    lengths = torch.tensor([len(one) for one in ids])
    targets = {"text": inputs["labels"].clamp(min=0), "text_lengths": lengths}
    samples = inputs["attention_mask"].sum(1)
    with torch.inference_mode():
        ours = recogniser.model(inputs["input_values"], samples, **targets)
        assert float(model(**inputs).loss) == pytest.approx(float(ours.loss_sum / ours.weight))


def test_a_long_recording_is_heard_in_chunks_that_join(recognise, exported, waves):
    long = np.concatenate(waves * 4)
    whole = recognise(long)["text"]
    assert recognise(long, chunk_length_s=60)["text"] == whole
    found = recognise(long, chunk_length_s=4, stride_length_s=1, batch_size=2)["text"]
    # By hand: 4 s every 2 s, of each chunk the rows that are a second from its cut ends.
    model, tokenizer = recognise.model, recognise.tokenizer
    ids, place, (size, edge) = [], 0, (64000, 16000)
    while True:
        chunk = torch.from_numpy(long[place : place + size])[None]
        with torch.inference_mode():
            best = model(chunk).logits[0].argmax(1).tolist()
        is_last = place + size >= len(long)
        left, right = (edge // 640 if place else 0), len(chunk[0]) // 640 - edge // 640
        ids += best[left:] if is_last else best[left:right]
        if is_last:
            break
        place += size - 2 * edge
    assert found == tokenizer.decode(ids)
    assert len(found) > 20


def test_words_and_tokens_have_times(recognise, waves):
    wave = max(waves, key=len)
    found = recognise(wave, return_timestamps="word")
    words = found["text"].split()
    assert [chunk["text"] for chunk in found["chunks"]] == words
    times = [time for chunk in found["chunks"] for time in chunk["timestamp"]]
    assert times == sorted(times)
    assert times[-1] <= len(wave) / 16000
    chars = recognise(wave, return_timestamps="char")["chunks"]
    assert " ".join("".join(chunk["text"] for chunk in chars).split()) == found["text"]


def test_a_folder_that_is_saved_again_is_the_same(exported, tmp_path):
    model = XeusForCTC.from_pretrained(exported)
    model.save_pretrained(tmp_path / "again")
    again, info = XeusForCTC.from_pretrained(tmp_path / "again", output_loading_info=True)
    assert not info["missing_keys"] | info["unexpected_keys"]
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (exported / name).read_bytes()
    for (name, a), b in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_the_card_tells_what_the_cell_knows(exported):
    empty, matter, text = (exported / "README.md").read_text().split("---\n", 2)
    matter = yaml.safe_load(matter)
    assert (matter["license"], matter["pipeline_tag"]) == (
        "cc-by-4.0", "automatic-speech-recognition"
    )  # fmt: skip
    assert matter["library_name"] == "transformers"
    assert matter["language"] == ["da", "es", "fr"]
    for part in (
        "# joint", "- task: joint, track 10min", "- encoder: random (random), fine-tuning: frozen",
        "the command", 'recognise = pipeline("automatic-speech-recognition", model="joint")',
        "Not stated: the cell was not scored.", "the weights themselves are cc-by-4.0.",
    ):  # fmt: skip
        assert part in text


TUNES = {
    "layers": TuneConfig(encoder="layers", layers=[2], encoder_lr=0.01),
    "lora": TuneConfig(encoder="lora", lora_rank=2, encoder_lr=0.01),
}


@pytest.mark.parametrize("name", TUNES)
def test_a_cell_that_changed_its_encoder_takes_it_along(tones, train_cell, tmp_path, waves, name):
    train, cell = train_cell
    training = {**cell.training, "max_steps": 6, "valid_interval_steps": 6}
    cell = dataclasses.replace(cell, tune=TUNES[name], seed=5 + len(name), training=training)
    folder = train(tones[0], cell)
    export_cell.main([str(folder), "--out", str(tmp_path / "hf")])
    recogniser, _ = ASRTask.build_model_from_file(model_file=folder)
    recognise = pipeline("automatic-speech-recognition", model=str(tmp_path / "hf"))
    assert [recognise(wave)["text"] for wave in waves] == recogniser.transcribe(waves)
    one = torch.from_numpy(waves[0])[None]
    with torch.inference_mode():
        wanted, _ = recogniser.model.log_probs(one, torch.tensor([one.shape[1]]))
        found = recognise.model(one).logits
        frozen = ASRTask.build_model_from_file(model_file=tones[1])[0].model
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)
    block = "encoder.1.attn.linear_q.weight".replace("encoder.1", "encoder.encoders.1")
    before = frozen.encoder.model.state_dict()[block]
    assert not torch.equal(recognise.model.xeus.state_dict()[block], before)


def test_a_cell_that_mixes_the_blocks_alone_each_by_its_size_is_heard_so(train_cell, tmp_path):
    train, cell = train_cell
    cell = dataclasses.replace(
        cell, encoder=EncoderSpec(kind="random", mixes_input=False),
        features=dataclasses.replace(cell.features, normalise="std"),
        training={**cell.training, "max_steps": 2, "valid_interval_steps": 2},
    )  # fmt: skip
    folder = train(tmp_path / "data", cell)
    save_cell(folder, tmp_path / "hf")  # which compares log-probabilities, too
    std = load_yaml(folder / "config.yaml")["model"]["layer_std"]
    model = AutoModelForCTC.from_pretrained(tmp_path / "hf")
    assert len(std) == model.config.num_hidden_layers == 2
    assert torch.equal(model.probe.mix.scale, 1 / torch.tensor(std))
    found = model(torch.zeros(1, 16000), output_hidden_states=True).hidden_states
    assert len(found) == 3  # whatever the probe hears


def test_padding_of_labels_is_no_token_in_any_form(exported, waves):
    processor = AutoProcessor.from_pretrained(exported)
    texts = ["[dan] EN SORT", "[fra]"]
    rows = [processor.tokenizer(text)["input_ids"] for text in texts]
    wanted = [rows[0], rows[1] + [-100] * (len(rows[0]) - 1)]
    for form in (None, "np", "pt"):
        found = processor(audio=waves[:2], text=texts, return_tensors=form)["labels"]
        assert np.asarray(found).tolist() == wanted
        one = processor(audio=waves[0], text=texts[0], return_tensors=form)["labels"]
        assert np.asarray(one).tolist() == wanted[:1]
    audio = [{"input_values": wave} for wave in waves[:2]]
    ids = [{"input_ids": row} for row in rows]
    both = processor.pad(audio, ids, return_tensors="pt")
    assert both["labels"].tolist() == wanted
    alone = processor.pad(labels=ids, return_tensors="pt")
    assert alone["attention_mask"].sum(1).tolist() == [len(row) for row in rows]
    assert processor.tokenizer.decode(wanted[1], group_tokens=False) == "[fra]"


def test_a_tokenizer_of_pieces_and_one_of_phones_say_what_their_vocabularies_say(tmp_path):
    from espnet2.asr.vocabulary import Vocabulary

    targets = {
        "bpe": ["[dan] EN SORT KAT", "[dan] EN KAT", "[fra] LE CHAT"],
        "phone": ["[dan] e n s o", "[fra] l e ch"],
    }
    for kind, texts in targets.items():
        vocabulary = Vocabulary.from_targets(texts, kind, num_pieces=20)
        (tmp_path / kind).mkdir()
        vocabulary.save(tmp_path / kind / "vocabulary.txt")
        pieces = tmp_path / kind / "vocabulary.model"
        first = XeusTokenizer(
            str(tmp_path / kind / "vocabulary.txt"), str(pieces) if pieces.is_file() else None
        )
        first.save_pretrained(tmp_path / kind / "saved")
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / kind / "saved")
        for text in texts:
            ids = tokenizer(text)["input_ids"]
            assert ids == vocabulary.encode(text)
            assert tokenizer.decode(ids, group_tokens=False) == text
            rows = [x for token in ids for x in (token, token, 0)]
            assert tokenizer.decode(rows) == text
            found = tokenizer.decode(rows, output_char_offsets=True)["char_offsets"]
            words = tokenizer._get_word_offsets(found)
            assert [word["word"] for word in words] == text.split()
            assert (words[0]["start_offset"], words[0]["end_offset"]) == (0, 2)
            assert words[-1]["end_offset"] == len(rows) - 1


def test_what_cannot_become_such_a_folder_is_one_sentence(tones, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is there and no Hugging Face folder of XEUS"):
        save_cell(tones[1], tmp_path)
    cell = shutil.copytree(tones[1], tmp_path / "cell")
    saved = load_yaml(cell / "config.yaml")
    saved["cell"]["encoder"] = {"kind": EncoderSpec(kind="fbank").kind}
    save_yaml(cell / "config.yaml", saved)
    with pytest.raises(ConfigError, match="its encoder is fbank; only cells on a XEUS model"):
        save_cell(cell, tmp_path / "out")
    assert not (tmp_path / "out").exists()
