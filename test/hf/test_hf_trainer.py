"""transformers' ``Trainer`` trains a cell's folder further."""

import pytest
import torch
from transformers import (
    AutoModelForCTC,
    AutoProcessor,
    Trainer,
    TrainingArguments,
    pipeline,
)

from espnet2.bin import push_to_hub
from espnet2.hf.cell_folder import save_cell
from espnet2.utils.errors import ConfigError

TEXTS = ["[dan] EN SORT", "[fra] LE", "[spa] EL GATO"]


@pytest.fixture(scope="module")
def exported(tones, tmp_path_factory):
    out = tmp_path_factory.mktemp("trainer") / "joint"
    save_cell(tones[1], out)
    return out


def test_a_trainer_learns_measures_and_saves_what_a_pipeline_opens(exported, waves, tmp_path):
    pytest.importorskip("accelerate", reason="Trainer needs it; peft brings it")
    waves = waves[::2]
    processor = AutoProcessor.from_pretrained(exported)
    model = AutoModelForCTC.from_pretrained(exported)
    rows = [
        {"audio": {"input_values": wave}, "text": processor.tokenizer(text)}
        for wave, text in zip(waves, TEXTS, strict=True)
    ]

    def collate(batch):
        audio, texts = ([row[key] for row in batch] for key in ("audio", "text"))
        return processor.pad(audio, texts, return_tensors="pt")

    def measure(found):
        targets = processor.tokenizer.batch_decode(found.label_ids, group_tokens=False)
        assert targets == TEXTS
        return {"blanks": float((found.predictions.argmax(-1) == 0).mean())}

    arguments = TrainingArguments(
        str(tmp_path / "out"), max_steps=3, learning_rate=1e-3, lr_scheduler_type="constant",
        per_device_train_batch_size=3, per_device_eval_batch_size=2, save_strategy="no",
        use_cpu=True, report_to=[], disable_tqdm=True, remove_unused_columns=False,
    )  # fmt: skip
    trainer = Trainer(
        model, arguments, collate, rows, rows, processing_class=processor, compute_metrics=measure
    )
    before = trainer.evaluate()
    assert trainer.train().global_step == 3
    after = trainer.evaluate()
    assert after["eval_loss"] < before["eval_loss"]
    assert 0 < after["eval_blanks"] < 1
    trainer.save_model(str(tmp_path / "saved"))
    again = AutoModelForCTC.from_pretrained(tmp_path / "saved")
    for (name, a), b in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    best = trainer.predict(rows).predictions.argmax(-1)
    recognise = pipeline("automatic-speech-recognition", model=str(tmp_path / "saved"))
    heard = [recognise(wave)["text"] for wave in waves]
    assert heard == processor.batch_decode(best)
    assert any(heard)


def test_a_saved_trainer_lacks_its_card_alone_and_without_a_processor_is_told_of_it(
    exported, tmp_path
):
    pytest.importorskip("accelerate", reason="Trainer needs it; peft brings it")
    model = AutoModelForCTC.from_pretrained(exported)
    processor = AutoProcessor.from_pretrained(exported)
    arguments = TrainingArguments(str(tmp_path / "out"), use_cpu=True, report_to=[])
    for name, given in (("whole", processor), ("bare", None)):
        Trainer(model, arguments, processing_class=given).save_model(str(tmp_path / name))

    def push(name):
        push_to_hub.main([str(tmp_path / name), "--repo", "owner/name", "--dry_run"])

    with pytest.raises(ConfigError, match="/whole holds no README.md: stage 9 and export_cell"):
        push("whole")
    (tmp_path / "whole/README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    push("whole")
    files = "README.md, preprocessor_config.json, processor_config.json, tokenizer_config.json"
    said = (
        rf"/bare holds no {files}, vocabulary.txt: processor.save_pretrained\(FOLDER\) writes what "
        r"is heard and said with, and so does Trainer\(processing_class=processor\); stage 9 and"
    )
    with pytest.raises(ConfigError, match=said):
        push("bare")


def test_keys_of_other_models_are_refused_with_those_that_there_are(exported):
    other = {"ctc_loss_reduction": "mean", "attention_dropout": 0.1, "layerdrop": 0.0}
    message = (
        "XeusForCTC has no key attention_dropout, ctc_loss_reduction, layerdrop; it has ESPnet's: "
        r".*encoder_conf.*probe.*\. Dropout is set in encoder_conf and probe, each given whole"
    )
    with pytest.raises(ConfigError, match=message):
        AutoModelForCTC.from_pretrained(exported, **other)
