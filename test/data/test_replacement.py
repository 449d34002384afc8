"""Audio that cannot be read while training: another row of the same length stands in."""

import os
import shutil

import numpy as np
import pytest
import torch
from toy_dump import write_set

from espnet2.data.audio import encode_flac, to_int16
from espnet2.data.augment import CLEAN, MixConfig
from espnet2.data.banks import Bank, write_bank
from espnet2.data.banks import Clip as BankClip
from espnet2.data.config import PlanConfig
from espnet2.data.dataset import PretrainBatches
from espnet2.data.frames import num_frames
from espnet2.data.index import Index
from espnet2.data.labels import LabelStore
from espnet2.data.plan import Plan, build_plan
from espnet2.data.replacement import Places
from espnet2.utils.errors import DataError

COUNT, LENGTH = 16, 9600
SPEECH = MixConfig(noise_prob=1.0, speech_share=1.0, rir_prob=0.0)
PACKED = {"pack_s": 0.5, "batch_bins": 8 * 8000}


def make_dump(dump, **plan):
    """16 utterances in two languages; the label at frame t of utterance i is 100 i + t."""
    rng = np.random.default_rng(0)
    clips = [to_int16(rng.uniform(-0.2, 0.2, LENGTH)) for _ in range(COUNT)]
    labels = [100 * i + np.arange(num_frames(LENGTH)) for i in range(COUNT)]
    write_set(dump / "toy", clips, labels, ["deu"] * 8 + ["fra"] * 8)
    options = {"batch_bins": 8 * LENGTH, "batch_multiple": 4, "num_buckets": 1} | plan
    build_plan(dump / "toy/index.arrow", dump / "toy/plan", PlanConfig(**options), seed=3)
    return dump


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    return make_dump(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return make_dump(tmp_path_factory.mktemp("packed"), **PACKED)


def damaged(dump, copy, *rows, how="zeros"):
    """A copy of a dump in whose shard the audio of ``rows`` is damaged."""
    shutil.copytree(dump, copy)
    index = Index.open(copy / "toy")
    with open(copy / "toy/shards/000.ark", "r+b") as ark:
        for row in rows:
            offset, nbytes = int(index.offsets[row]), int(index.nbytes[row])
            if how == "cut":
                ark.truncate(offset + nbytes // 2)
                continue
            ark.seek(offset)
            if how == "zeros":
                ark.write(bytes(nbytes))
            if how == "other length":
                ark.write(encode_flac(np.zeros(500, np.int16)))
    return copy


def open_batches(dump, config=CLEAN, **options):
    index = Index.open(dump / "toy")
    labels, plan = LabelStore.open(index, dump / "toy/labels"), Plan.open(dump / "toy/plan")
    return PretrainBatches(index, labels, plan, None, None, config, seed=7, **options)


def rows_of(micro_batches):
    """Of each row: utterance, audio, labels, languages, numbers of the mask."""
    names = ("speech", "text", "languages", "mask_uniforms")
    return [
        (utt_id, *(batch[name][i] for name in names))
        for batch in micro_batches
        for i, utt_id in enumerate(batch["utt_ids"])
    ]


def replaced(micro_batches):
    return [one for batch in micro_batches for one in batch["replaced"]]


def same(one, two):
    return one[0] == two[0] and all(map(torch.equal, one[1:], two[1:]))


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("zeros", "not a FLAC record: Format not recognised."),
        ("other length", "500 samples in the shard, 9600 in {copy}/toy/index.arrow"),
        ("cut", "{copy}/toy/shards/000.ark: cut short: "),
    ],
)
def test_another_row_stands_in_with_its_labels_and_the_draws_of_the_place(
    dump, tmp_path, how, reason
):
    copy = damaged(dump, tmp_path / "copy", COUNT - 1, how=how)
    whole, broken = open_batches(dump), open_batches(copy)
    stand_ins = []
    for step in range(12):
        before, micro_batches = rows_of(whole.batch(step)), broken.batch(step)
        after, told = rows_of(micro_batches), replaced(micro_batches)
        bad = [i for i, row in enumerate(before) if row[0] == "u15"]
        assert [utt_id for utt_id, _ in told] == ["u15"] * len(bad)
        assert all(why.startswith(reason.format(copy=copy)) for _, why in told)
        for i, (one, two) in enumerate(zip(before, after, strict=True)):
            if i not in bad:
                assert same(one, two)
                continue
            stand_in = int(two[0][1:])
            assert stand_in != 15
            assert set((two[2] // 100).tolist()) == {stand_in}  # its own labels
            assert two[3].tolist() == [stand_in // 8] * len(two[3])  # and language
            assert torch.equal(one[4], two[4])  # the mask of the place
            stand_ins.append(stand_in)
    assert len(stand_ins) == 6  # once a pass
    assert len(set(stand_ins)) > 2


def test_ranks_micro_batches_workers_and_a_late_start_take_the_same_stand_ins(dump, tmp_path):
    copy = damaged(dump, tmp_path / "copy", 2, 3, 11)
    alone = open_batches(copy, SPEECH)
    steps = [alone.batch(step) for step in range(8)]
    assert sum(len(replaced(batches)) for batches in steps) >= 12
    for workers in (0, 2):
        for one, two in zip(steps[3:], alone.loader(3, 8, workers), strict=True):
            assert all(map(same, rows_of(one), rows_of(two)))
            assert replaced(one) == replaced(two)
    for step, batches in enumerate(steps):
        pieces = open_batches(copy, SPEECH, accum_grad=2).batch(step)
        assert all(map(same, rows_of(batches), rows_of(pieces)))
        assert replaced(pieces) == replaced(batches)
        told = []
        for rank in range(4):
            mine = open_batches(copy, SPEECH, rank=rank, world=4).batch(step)
            assert all(map(same, rows_of(batches)[rank::4], rows_of(mine)))
            told += replaced(mine)
        assert sorted(told) == sorted(replaced(batches))  # each on one rank, also who interferes


def test_an_interfering_speaker_who_cannot_be_read_is_who_stands_in_for_them(dump, tmp_path):
    copy = damaged(dump, tmp_path / "copy", 2, 3, 11)
    whole, broken = open_batches(dump, SPEECH), open_batches(copy, SPEECH)
    other_noise = 0
    for step in range(8):
        for one, two in zip(rows_of(whole.batch(step)), rows_of(broken.batch(step)), strict=True):
            if one[0] == two[0] and not torch.equal(one[1], two[1]):
                other_noise += 1
                assert torch.equal(one[2], two[2])
    assert other_noise > 3


def test_a_shard_that_is_gone_ends_with_one_line(dump, tmp_path):
    copy = damaged(dump, tmp_path / "copy")
    batches = open_batches(copy)
    shutil.move(copy / "toy/shards", copy / "toy/elsewhere")
    for workers in (0, 1):
        with pytest.raises(DataError) as refused:
            list(batches.loader(0, 2, workers))
        first = batches.index.utt_ids[int(batches.plan.batch(0).rows[0])]
        assert str(refused.value) == (
            f"{first}: neither its audio nor that of 8 others of its length can be read; the last: "
            f"[Errno 2] No such file or directory: '{copy}/toy/shards/000.ark'; see that the "
            f"shards under {copy} are there and whole, and run the same command again"
        )


def test_a_disk_that_fails_while_reading_is_replaced_too(dump, tmp_path, monkeypatch):
    batches = open_batches(dump)
    expected = replaced(open_batches(damaged(dump, tmp_path / "copy", 5)).batch(0))
    expected += replaced(open_batches(tmp_path / "copy").batch(1))
    bad, read = int(batches.index.offsets[5]), os.pread

    def failing(file, size, offset):
        if offset == bad and size == int(batches.index.nbytes[5]):
            raise OSError(5, "Input/output error")
        return read(file, size, offset)

    monkeypatch.setattr(os, "pread", failing)
    told = [*replaced(batches.batch(0)), *replaced(batches.batch(1))]
    assert told == [("u05", "[Errno 5] Input/output error")] * len(expected)
    assert len(told) == 1


def test_labels_that_cannot_be_read_are_no_audio_and_stop_the_run(dump, tmp_path):
    copy = damaged(dump, tmp_path / "copy")
    batches = open_batches(copy)
    (labels,) = (copy / "toy/labels").glob("*.u16")
    labels.write_bytes(labels.read_bytes()[:-100])
    with pytest.raises(DataError, match="u15: labels: .*cut short"):
        list(batches.loader(0, 2))


def test_a_piece_with_an_unreadable_part_is_replaced_by_another_piece(packed, tmp_path):
    copy = damaged(packed, tmp_path / "copy", 4)
    whole, broken = open_batches(packed), open_batches(copy)
    places, told = 0, []
    for step in range(12):
        before, micro_batches = rows_of(whole.batch(step)), broken.batch(step)
        told += [utt_id for utt_id, _ in replaced(micro_batches)]
        for one, two in zip(before, rows_of(micro_batches), strict=True):
            if "u04" not in one[0]:
                assert same(one, two)
                continue
            assert "u04" not in two[0]
            names = {f"u{label // 100:02d}" for label in two[2].tolist()}
            assert set(two[0].split(" ")) == names
            languages = [int(label // 800) for label in two[2].tolist()]
            assert two[3].tolist() == languages  # each part its own
            places += 1
    assert set(told) == {"u04"}
    assert 0 < places <= len(told)  # a stand-in that cannot be read is told too


def test_parts_of_a_piece_have_each_its_own_language(packed):
    seen = set()
    for step in range(6):
        for _, _, labels, languages, _ in rows_of(open_batches(packed).batch(step)):
            assert languages.tolist() == (labels // 800).tolist()
            seen.add(tuple(sorted(set(languages.tolist()))))
    assert seen == {(0,), (1,), (0, 1)}


def test_with_repeats_a_stand_in_is_drawn_from_its_own_bucket(tmp_path):
    rng = np.random.default_rng(0)
    lengths = [4000] * 6 + [12000] * 6
    clips = [to_int16(rng.uniform(-0.2, 0.2, n)) for n in lengths]
    labels = [100 * i + np.arange(num_frames(n)) for i, n in enumerate(lengths)]
    write_set(tmp_path / "dump/toy", clips, labels)
    config = PlanConfig(batch_bins=48_000, batch_multiple=2, num_buckets=2)
    folder = tmp_path / "dump/toy"
    build_plan(folder / "index.arrow", folder / "plan", config, seed=3)
    batches = open_batches(damaged(tmp_path / "dump", tmp_path / "copy", 0, 8))
    for step in range(10):
        planned = batches.plan.batch(step)
        places = Places(batches.clips, batches.plan, planned, 7)
        long = planned.num_samples > 4000
        for i, row in enumerate(planned.rows.tolist()):
            assert (places[i].row >= 6) == long
            assert (places[i].row != row) == (row in (0, 8)) == bool(places[i].replaced)


def test_noise_and_rooms_of_a_place_stay_where_its_audio_is_replaced(dump, tmp_path):
    copy = damaged(dump, tmp_path / "copy", 6)
    rng = np.random.default_rng(1)
    write_bank(tmp_path / "rirs", [BankClip(samples=rng.normal(0, 1, 90), kind="r") for _ in "abc"])
    config = MixConfig(noise_prob=0.0, rir_prob=0.5, augment_on="device")
    rooms = []
    for folder in (dump, copy):
        batches = open_batches(folder, config)
        batches.rirs = Bank.open(tmp_path / "rirs")
        rooms.append([batches.batch(step)[0].get("room_rows") for step in range(6)])
    assert all(map(torch.equal, *rooms))
