"""Batches of the probe: which utterances, in what order, how padded."""

import shutil

import numpy as np
import pytest
import torch
from tiny_asr import make_cell_data

from espnet2.asr.cell_data import batches_to_decode
from espnet2.asr.config import BatchConfig, ProbeConfig
from espnet2.asr.ctc_model import CTCModel
from espnet2.asr.data import (
    Collator,
    Example,
    TrainBatches,
    bucket_frames,
    fill_batches,
    frames_needed,
    read_examples,
    trainable,
)
from espnet2.asr.vocabulary import Vocabulary
from espnet2.utils.errors import DataError


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    return make_cell_data(tmp_path_factory.mktemp("cell"))


def train_batches(cell, seed=1, accum_grad=1, batch_s=3.0):
    features, examples = cell.open("train")
    vocabulary = Vocabulary.from_targets(example.target for example in examples)
    collator = Collator(examples, features, vocabulary, BatchConfig(batch_s=batch_s))
    return TrainBatches(collator, num_uniforms=4, seed=seed, accum_grad=accum_grad)


def ids(batches):
    return [batch["utt_ids"] for step in batches for batch in step]


def test_every_epoch_holds_every_utterance_once_in_another_order(cell):
    batches = train_batches(cell)
    epochs = [
        [u for step in range(batches.per_epoch * e, batches.per_epoch * (e + 1))
         for batch in batches[step] for u in batch["utt_ids"]]
        for e in range(3)
    ]  # fmt: skip
    assert all(len(set(epoch)) == len(epoch) == 12 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_a_batch_is_a_function_of_seed_and_step(cell):
    late = train_batches(cell)[7]
    walked = [train_batches(cell)[step] for step in range(8)][7]
    other = train_batches(cell, seed=2)[7]
    assert late[0]["utt_ids"] == walked[0]["utt_ids"] != other[0]["utt_ids"]
    assert torch.equal(late[0]["augment_uniforms"], walked[0]["augment_uniforms"])


def test_worker_processes_do_not_change_the_batches(cell):
    here = ids(train_batches(cell).loader(2, 6, num_workers=0))
    assert ids(train_batches(cell).loader(2, 6, num_workers=1)) == here


def test_accumulation_cuts_the_same_sequence_of_micro_batches(cell):
    single, double = train_batches(cell), train_batches(cell, accum_grad=2)
    assert ids([double[1]]) == ids([single[2], single[3]])


def test_a_batch_holds_features_and_targets_of_its_utterances(cell):
    batches = train_batches(cell)
    [batch] = batches[0]
    features, examples = cell.open("train")
    by_id = {example.utt_id: example for example in examples}
    vocabulary = batches.collator.vocabulary
    for i, utt_id in enumerate(batch["utt_ids"]):
        example, frames = by_id[utt_id], batch["feature_lengths"][i]
        [expected] = features.features([example.row])
        assert torch.equal(batch["features"][i, :frames], expected)
        assert (batch["features"][i, frames:] == 0).all()
        target = batch["text"][i, : batch["text_lengths"][i]].tolist()
        assert vocabulary.decode(target) == example.target


def test_padded_lengths_are_few_and_batches_within_their_seconds():
    frames = np.random.default_rng(0).integers(10, 500, 300)
    padded = bucket_frames(frames, bucket_s=0.5)
    assert set(padded % 25) == {0}
    assert (padded - frames).max() < 25
    batches = fill_batches(np.random.default_rng(1).permutation(300), padded, batch_s=20)
    assert sorted(np.concatenate(batches)) == list(range(300))
    assert all(padded[batch].max() * len(batch) * 0.02 <= 20 for batch in batches)


def test_the_number_of_batches_does_not_depend_on_the_order():
    padded = bucket_frames(np.random.default_rng(0).integers(10, 500, 300), 0.5)
    orders = [np.random.default_rng(seed).permutation(300) for seed in range(5)]
    assert len({len(fill_batches(order, padded, 20)) for order in orders}) == 1


def test_what_ctc_cannot_align_is_dropped_with_its_reason():
    vocabulary = Vocabulary(["<blank>", "<unk>", "A", "B"])
    make = {"row": 0, "language": "fra", "corpus": "real"}
    examples = [
        Example(utt_id="good", frames=13, target="ABAB", **make),  # 4 frames of 40 ms
        Example(utt_id="repeats", frames=13, target="AAAB", **make),  # needs 6
        Example(utt_id="short", frames=6, target="A", **make),
    ]
    kept, dropped = trainable(examples, vocabulary)
    assert [example.utt_id for example in kept] == ["good"]
    assert dropped == [
        ("repeats", "more tokens than frames", "needs 6 frames of 40 ms, has 4"),
        ("short", "too short", "6 frames"),
    ]
    assert frames_needed([2, 2, 3, 3, 3]) == 8


def test_decoding_visits_every_utterance_once(cell):
    vocabulary = Vocabulary.from_targets(["[fra] A"])
    seen = [u for utt_ids, _, _ in batches_to_decode(cell, "test", vocabulary, 2) for u in utt_ids]
    assert sorted(seen) == sorted(example.utt_id for example in cell.open("test")[1])


def test_only_a_line_feed_ends_a_line_of_utt2corpus(cell, tmp_path):
    shutil.copytree(cell.data_dir("dev"), tmp_path / "dev")
    features, before = cell.open("dev")
    table = tmp_path / "dev/utt2corpus"
    table.write_text(table.read_text().replace(" real\n", " a\u2028b\n"), encoding="utf-8")
    examples = read_examples(tmp_path / "dev", features, "joint", [])
    assert {example.corpus for example in examples} == {"a\u2028b"}
    assert len(examples) == len(before)


def test_features_of_other_data_are_refused(cell, tmp_path):
    moved = make_cell_data(tmp_path, per_language=1)
    names = ("wav.scp", "text", "utt2spk", "spk2utt", "utt2lang", "utt2dur", "utt2corpus")
    for name in names:
        path = moved.data_dir("train") / name
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DataError, match="has changed since its features were made"):
        moved.open("train")


def make_example(utt_id, frames, target):
    return Example(
        utt_id=utt_id, row=0, frames=frames, language="fra", corpus="real", target=target
    )


def test_nothing_to_learn_is_dropped_and_unseen_tokens_are_listed_but_kept():
    vocabulary = Vocabulary(["<blank>", "<unk>", "<space>", "A", "B", "[fra]"])
    examples = [
        make_example("empty", 50, ""),
        make_example("unseen", 50, "AŒ Œ[X"),
        make_example("language", 50, "[spa] AB"),
        make_example("good", 50, "[fra] A B"),
    ]
    kept, rows = trainable(examples, vocabulary)
    assert [example.utt_id for example in kept] == ["unseen", "language", "good"]
    assert rows == [
        ("empty", "empty transcript", "nothing to learn"),
        ("unseen", "unseen tokens", "kept; Œ [ X not in training: <unk>"),
        ("language", "unseen tokens", "kept; [spa] not in training: <unk>"),
    ]


def test_what_is_kept_is_exactly_what_ctc_can_align():
    vocabulary = Vocabulary(["<blank>", "<unk>", "A", "B"])
    rng = np.random.default_rng(0)
    targets = ["".join(rng.choice(["A", "B"], size)) for size in range(1, 13)]
    config = ProbeConfig(
        projection=9, conv_channels=1, output_size=4, attention_heads=1, linear_units=4,
        num_blocks=1, specaug=None,
    )  # fmt: skip
    model = CTCModel(config, 1, 5, len(vocabulary)).eval()
    for frames in range(36):
        log_probs, lengths = model.log_probs(torch.randn(1, frames, 1, 5), torch.tensor([frames]))
        assert lengths.item() == (log_probs.shape[1] if frames >= 7 else 0)
        for target in targets:
            ids = torch.tensor([vocabulary.encode(target)])
            loss = torch.nn.functional.ctc_loss(
                log_probs.transpose(0, 1), ids, lengths, torch.tensor([len(target)])
            )
            kept, _ = trainable([make_example("u", frames, target)], vocabulary)
            assert bool(kept) == bool(loss.isfinite() and lengths > 0), (frames, target)


def test_batches_name_languages_where_the_probe_learns_them(cell):
    batches = train_batches(cell)
    assert "language_ids" not in batches[0][0]
    batches.collator.names_languages = True
    [batch] = batches[0]
    tokens = [batches.collator.vocabulary.tokens[i] for i in batch["language_ids"]]
    assert tokens == [f"[{utt_id.split('_')[1]}]" for utt_id in batch["utt_ids"]]
