import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_dump import write_set

from espnet2.data.augment import CLEAN, MixConfig
from espnet2.data.banks import Bank, Clip, write_bank
from espnet2.data.config import PlanConfig
from espnet2.data.dataset import PretrainBatches
from espnet2.data.frames import num_frames
from espnet2.data.index import Index
from espnet2.data.labels import LabelStore
from espnet2.data.plan import Plan, build_plan
from espnet2.data.plan.pieces import Part, Stream, pieces_of_entries
from espnet2.data.tsv import read_dropped
from espnet2.utils.errors import ConfigError

FRAMES = 24  # of a piece of half a second
SAMPLES = 320 * (FRAMES - 1) + 400
HEAVY = MixConfig(noise_prob=0.7, rir_prob=0.7)
PACKED = PlanConfig(batch_bins=4 * SAMPLES, batch_multiple=4, pack_s=0.5)


def stream_of(frames, piece):
    starts = np.concatenate([[0], np.cumsum(frames)]).astype(np.uint64)
    return Stream(np.arange(len(frames), dtype=np.uint32), starts, piece)


def write_toy(folder, lengths, languages=None):
    """Frames are numbered through the set: the number is the label and the value of the frame's
    320 samples (what follows an utterance's last frame has the next number)."""
    first = np.cumsum([0, *(num_frames(int(n)) + 2 for n in lengths)])
    clips = [(first[i] + np.arange(n) // 320).astype(np.int16) for i, n in enumerate(lengths)]
    labels = [first[i] + np.arange(num_frames(int(n))) for i, n in enumerate(lengths)]
    write_set(folder, clips, labels, languages)
    return labels


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    """20 utterances, shorter and longer than a piece, in two languages."""
    dump = tmp_path_factory.mktemp("dump")
    lengths = np.random.default_rng(0).integers(4000, 20000, 20)
    write_toy(dump / "toy", lengths, ["fra", "eng"] * 10)
    build_plan(dump / "toy/index.arrow", dump / "toy/plan", PACKED, seed=3)
    rng = np.random.default_rng(1)
    write_bank(dump / "noise", [Clip(samples=rng.normal(0, 0.1, 9000), kind="n")])
    write_bank(dump / "rirs", [Clip(samples=np.exp(-np.arange(800) / 90), kind="r")])
    return dump


def open_batches(dump, config=CLEAN, **options):
    index = Index.open(dump / "toy")
    return PretrainBatches(
        index, LabelStore.open(index, dump / "toy/labels"), Plan.open(dump / "toy/plan"),
        Bank.open(dump / "noise"), Bank.open(dump / "rirs"), config, seed=7, **options,
    )  # fmt: skip


def rows_of(micro_batches):
    """(name, speech, labels, draws) of each row."""
    return [
        (name, *(batch[key][i] for key in ("speech", "text", "mask_uniforms")))
        for batch in micro_batches
        for i, name in enumerate(batch["utt_ids"])
    ]


def assert_same(one, two):
    assert [row[0] for row in one] == [row[0] for row in two]
    for a, b in zip(one, two, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a[1:], b[1:], strict=True))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 25))
def test_pieces_hold_every_frame_once_and_in_order_but_one_remainder(frames, piece):
    stream = stream_of(frames, piece)
    parts = [stream.parts(number) for number in range(stream.count)]
    assert all(sum(part.stop - part.start for part in row) == piece for row in parts)
    held = [(p.row, f) for row in parts for p in row for f in range(p.start, p.stop)]
    every = [(row, f) for row, count in enumerate(frames) for f in range(count)]
    assert held == every[: len(every) // piece * piece]
    touched = Counter(part.row for row in parts for part in row)
    starts = stream.starts.astype(np.int64)
    held_by = pieces_of_entries(starts[:-1], starts[1:], piece, stream.count)
    assert held_by.tolist() == [touched[row] for row in range(len(frames))]


def test_a_piece_starts_and_ends_inside_utterances():
    stream = stream_of([5, 3, 9], 6)
    assert stream.parts(0) == [Part(row=0, start=0, stop=5), Part(row=1, start=0, stop=1)]
    assert stream.parts(1) == [Part(row=1, start=1, stop=3), Part(row=2, start=0, stop=4)]
    assert stream.count == 2


def test_labels_lie_on_their_samples_and_a_pass_holds_each_frame_once(dump):
    batches = open_batches(dump)
    plan, index = batches.plan, batches.index
    (bucket,) = plan.buckets
    assert bucket.num_samples == SAMPLES
    assert bucket.count == index.frames_of(slice(None)).sum() // FRAMES
    seen, row_number = Counter(), 0
    for step in range(-(-bucket.count // bucket.batch)):
        for _, speech, text, _ in rows_of(batches.batch(step)):
            values = np.rint(speech.numpy() * 2**15).astype(int)
            assert len(values) == SAMPLES
            assert values[: 320 * FRAMES].tolist() == np.repeat(text.numpy(), 320).tolist()
            assert values[320 * FRAMES :].tolist() == [int(text[-1]) + 1] * 80
            if row_number < bucket.count:
                seen.update(text.tolist())
            row_number += 1
    assert set(seen.values()) == {1}
    every = {f for i in range(len(index)) for f in batches.labels.labels(i).tolist()}
    assert set(seen) <= every
    assert len(every) - len(seen) == index.frames_of(slice(None)).sum() % FRAMES


def test_streams_follow_each_other_by_language_in_an_order_of_the_seed(dump, tmp_path):
    plan = Plan.open(dump / "toy/plan")
    rows = np.asarray(plan.rows).tolist()
    assert [row % 2 for row in rows] == [1] * 10 + [0] * 10  # eng, then fra
    assert rows != sorted(rows, key=lambda row: (1 - row % 2, row))
    again, other = tmp_path / "again", tmp_path / "other"
    build_plan(dump / "toy/index.arrow", again, PACKED, seed=3)
    build_plan(dump / "toy/index.arrow", other, PACKED, seed=4)
    assert Plan.open(again).fingerprint == plan.fingerprint
    assert np.asarray(Plan.open(other).rows).tolist() != rows
    on_disk = plan.rows.dtype.itemsize + plan.stream.starts.dtype.itemsize
    assert on_disk == 12  # bytes an utterance


def test_a_name_lists_the_utterances_of_the_piece(dump):
    batches = open_batches(dump)
    (batch,) = batches.batch(0)
    for name, text in zip(batch["utt_ids"], batch["text"].tolist(), strict=True):
        for utt_id in name.split(" "):
            assert set(batches.labels.labels(int(utt_id[1:])).tolist()) & set(text)


def test_ranks_and_micro_batches_share_out_the_same_pieces(dump):
    for step in range(4):
        alone = rows_of(open_batches(dump, HEAVY).batch(step))
        pieces = open_batches(dump, HEAVY, accum_grad=2).batch(step)
        assert [len(batch["utt_ids"]) for batch in pieces] == [2, 2]
        assert_same(alone, rows_of(pieces))
        for rank in range(2):
            assert_same(
                alone[rank::2], rows_of(open_batches(dump, HEAVY, rank=rank, world=2).batch(step))
            )


def test_resuming_with_workers_gives_the_batches_of_an_unbroken_run(dump):
    unbroken = [rows_of(open_batches(dump, HEAVY).batch(step)) for step in range(6)]
    resumed = open_batches(dump, HEAVY).loader(3, 6, num_workers=1)
    for one, two in zip(unbroken[3:], resumed, strict=True):
        assert_same(one, rows_of(two))


def test_a_later_pass_shows_the_piece_with_other_noise_and_masks(dump):
    batches, seen, changed = open_batches(dump, HEAVY), {}, Counter()
    for step in range(20):
        for name, speech, text, draws in rows_of(batches.batch(step)):
            key = (name, int(text[0]))
            if key in seen:
                changed["speech"] += not torch.equal(speech, seen[key][0])
                changed["draws"] += not torch.equal(draws, seen[key][1])
                changed["visits"] += 1
            seen[key] = speech, draws
    assert changed["draws"] == changed["visits"] > 40
    assert changed["speech"] > 0.8 * changed["visits"]


def test_repeats_put_an_utterance_into_a_pass_several_times(tmp_path):
    write_toy(tmp_path / "toy", [8000] * 20, ["eng"] * 16 + ["fra"] * 4)
    config = PlanConfig(batch_bins=64_000, pack_s=0.5, language_temperature=0.5)
    build_plan(tmp_path / "toy/index.arrow", tmp_path / "toy/plan", config, seed=0)
    counts = Counter(np.asarray(Plan.open(tmp_path / "toy/plan").rows).tolist())
    assert [counts[row] for row in range(20)] == [1] * 16 + [2] * 4


def test_what_does_not_fill_a_piece_is_named(tmp_path):
    write_toy(tmp_path / "toy", [320 * 20 + 80, 320 * 20 + 80, 399])
    config = PlanConfig(batch_bins=64_000, pack_s=0.25)  # 12 frames
    summary = build_plan(tmp_path / "toy/index.arrow", tmp_path / "toy/plan", config, seed=0)
    assert summary["steps_per_pass"] == pytest.approx(1)
    (dropped,) = read_dropped(tmp_path / "toy/plan/dropped.tsv")
    assert (dropped.utt_id, dropped.reason) == ("u02", "shorter than a frame")
    long = PlanConfig(batch_bins=64_000, pack_s=1.0)  # 49 frames: no piece
    build_plan(tmp_path / "toy/index.arrow", tmp_path / "long", long, seed=0)
    assert Plan.open(tmp_path / "long").steps_per_pass == 0
    reasons = [row.reason for row in read_dropped(tmp_path / "long/dropped.tsv")]
    assert sorted(reasons) == ["after the last whole piece"] * 2 + ["shorter than a frame"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pack_s": 0.02}, "pack_s 0.02 must lie between 0.025 s"),
        ({"pack_s": 4.1}, "pack_s 4.1 must lie between .* = 4 s"),
        ({"pack_s": 1.0, "bucket_s": [1.0]}, "pack_s and bucket_s exclude each other"),
    ],
)
def test_a_piece_that_cannot_be_is_refused(dump, tmp_path, options, message):
    config = PlanConfig(batch_bins=128_000, batch_multiple=2, **options)
    with pytest.raises(ConfigError, match=message):
        build_plan(dump / "toy/index.arrow", tmp_path, config, seed=0)


def test_a_pickled_reader_gives_the_same_batches(dump):
    batches = open_batches(dump, HEAVY)
    assert_same(rows_of(batches.batch(2)), rows_of(pickle.loads(pickle.dumps(batches)).batch(2)))
