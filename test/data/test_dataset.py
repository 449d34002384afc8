import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_dump import write_set

from espnet2.data.audio import to_float, to_int16
from espnet2.data.augment import CLEAN, MixConfig
from espnet2.data.augment_torch import augmented
from espnet2.data.banks import Bank, write_bank
from espnet2.data.banks import Clip as BankClip
from espnet2.data.clips import Clip
from espnet2.data.config import PlanConfig
from espnet2.data.dataset import PretrainBatches, crop
from espnet2.data.frames import num_frames
from espnet2.data.index import Index
from espnet2.data.labels import LabelStore
from espnet2.data.plan import Plan, build_plan
from espnet2.utils.errors import ConfigError, DataError

HEAVY = MixConfig(noise_prob=0.7, rir_prob=0.7)


def clip_of(i, length):
    return to_int16(np.random.default_rng(i).uniform(-0.2, 0.2, length))


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    """A set of 24 utterances whose label at frame t of utterance i is 100 i + t."""
    dump = tmp_path_factory.mktemp("dump")
    lengths = np.random.default_rng(0).integers(6400, 14000, 24)
    labels = [100 * i + np.arange(num_frames(int(n))) for i, n in enumerate(lengths)]
    write_set(dump / "toy", [clip_of(i, int(n)) for i, n in enumerate(lengths)], labels)
    config = PlanConfig(batch_bins=60_000, batch_multiple=2, num_buckets=3)
    build_plan(dump / "toy/index.arrow", dump / "toy/plan", config, seed=3)
    rng = np.random.default_rng(1)
    write_bank(dump / "noise", [BankClip(samples=rng.normal(0, 0.1, 9000), kind="n") for _ in "ab"])
    write_bank(
        dump / "rirs",
        [
            BankClip(samples=np.exp(-np.arange(800) / 90) * rng.normal(0, 1, 800), kind="r")
            for _ in "ab"
        ],
    )
    return dump


def open_batches(dump, config=CLEAN, seed=7, **options):
    index = Index.open(dump / "toy")
    return PretrainBatches(
        index, LabelStore.open(index, dump / "toy/labels"), Plan.open(dump / "toy/plan"),
        Bank.open(dump / "noise"), Bank.open(dump / "rirs"), config, seed, **options,
    )  # fmt: skip


def by_utterance(batches):
    """(utterance, first label, a draw of the visit) -> audio and draws."""
    return {
        (utt_id, int(batch["text"][i, 0]), float(batch["mask_uniforms"][i, 0])): (
            batch["speech"][i],
            batch["mask_uniforms"][i],
        )
        for micro in batches
        for batch in micro
        for i, utt_id in enumerate(batch["utt_ids"])
    }


def assert_same(one, two):
    assert one.keys() == two.keys()
    for key in one:
        for a, b in zip(one[key], two[key], strict=True):
            assert torch.equal(a, b)


@settings(max_examples=60, deadline=None)
@given(st.integers(400, 5000), st.data())
def test_cropped_labels_are_the_frames_of_the_cropped_audio(length, data):
    frames = num_frames(length)
    audio = np.arange(length)
    labels = np.array([audio[320 * t] for t in range(frames)])  # each label: its first sample
    clip = Clip(audio=audio, labels=labels, languages=labels % 7)
    size = data.draw(st.integers(400, length))
    start = 320 * data.draw(st.integers(0, (length - size) // 320))
    cut = crop(clip, start, size)
    assert len(cut.audio) == size
    assert cut.labels.tolist() == [cut.audio[320 * t] for t in range(num_frames(size))]
    assert cut.languages.tolist() == (cut.labels % 7).tolist()
    with pytest.raises(ValueError, match="multiple of 320 samples, got 321"):
        crop(clip, 321, 400)


def test_clean_batches_hold_the_stored_audio_at_the_labels_place(dump):
    batches = open_batches(dump)
    for step in range(12):
        (batch,) = batches.batch(step)
        count, samples = batch["speech"].shape
        frames = num_frames(samples)
        assert batch["text"].shape == (count, frames)
        assert batch["mask_uniforms"].shape == (count, 2 * frames + 1)
        assert batch["speech_lengths"].tolist() == [samples] * count
        assert batch["text_lengths"].tolist() == [frames] * count
        for i, utt_id in enumerate(batch["utt_ids"]):
            row = int(utt_id[1:])
            first = int(batch["text"][i, 0]) - 100 * row
            assert batch["text"][i].tolist() == [100 * row + first + t for t in range(frames)]
            length = int(batches.index.num_samples[row])
            expected = to_float(clip_of(row, length))[320 * first : 320 * first + samples]
            np.testing.assert_array_equal(batch["speech"][i].numpy(), expected)


def test_types_and_ranges_are_what_the_model_takes(dump):
    (batch,) = open_batches(dump, HEAVY).batch(0)
    assert batch["speech"].dtype == batch["mask_uniforms"].dtype == torch.float32
    assert batch["text"].dtype == batch["text_lengths"].dtype == torch.int64
    assert (batch["languages"].dtype, batch["languages"].shape) == (
        torch.int16,
        batch["text"].shape,
    )
    assert batch["replaced"] == []
    assert batch["mask_uniforms"].min() >= 0
    assert batch["mask_uniforms"].max() < 1


def test_more_numbers_for_the_masker_leave_those_before_them_alone(dump):
    few, more = open_batches(dump), open_batches(dump)
    more.extra_uniforms = 33
    for one, two in zip(few.batch(3), more.batch(3), strict=True):
        count, width = one["mask_uniforms"].shape
        assert two["mask_uniforms"].shape == (count, width + 33)
        assert torch.equal(two["mask_uniforms"][:, :width], one["mask_uniforms"])
        assert len(two["mask_uniforms"][:, width:].unique()) > 30 * count


def test_the_union_of_ranks_and_micro_batches_is_the_global_batch(dump):
    for step in range(6):
        alone = by_utterance([open_batches(dump, HEAVY).batch(step)])
        ranks = [open_batches(dump, HEAVY, rank=r, world=2).batch(step) for r in range(2)]
        assert_same(alone, by_utterance(ranks))
        pieces = open_batches(dump, HEAVY, accum_grad=2).batch(step)
        assert len(pieces) == 2
        assert len({batch["speech"].shape for batch in pieces}) == 1
        assert_same(alone, by_utterance([pieces]))


def test_workers_and_the_starting_step_do_not_change_a_batch(dump):
    batches = open_batches(dump, HEAVY)
    direct = [batches.batch(step) for step in range(3, 9)]
    for workers in (0, 2):
        loaded = list(batches.loader(3, 9, num_workers=workers))
        assert len(loaded) == 6
        for one, two in zip(direct, loaded, strict=True):
            assert_same(by_utterance([one]), by_utterance([two]))
            assert one[0]["utt_ids"] == two[0]["utt_ids"]


def test_a_later_visit_draws_another_crop_noise_and_mask(dump):
    batches, seen = open_batches(dump, HEAVY), {}
    changed = Counter()
    for step in range(60):
        (batch,) = batches.batch(step)
        for i, utt_id in enumerate(batch["utt_ids"]):
            now = (int(batch["text"][i, 0]), batch["mask_uniforms"][i])
            if utt_id in seen:
                changed["crop"] += now[0] != seen[utt_id][0]
                changed["mask"] += not torch.equal(now[1], seen[utt_id][1])
                changed["visits"] += 1
            seen[utt_id] = now
    assert changed["mask"] == changed["visits"] > 50
    assert changed["crop"] > 0.3 * changed["visits"]


def test_augmentation_follows_the_probabilities_and_the_phase(dump):
    def phases(step):
        return MixConfig(noise_prob=0.3, rir_prob=0) if step >= 100 else CLEAN

    clean, phased = open_batches(dump), open_batches(dump, phases)
    for step, share in ((0, 0.0), (100, 0.3)):
        differ, total = 0, 0
        for s in range(step, step + 60):
            one, two = by_utterance([clean.batch(s)]), by_utterance([phased.batch(s)])
            differ += sum(not torch.equal(one[key][0], two[key][0]) for key in one)
            total += len(one)
        assert differ / total == pytest.approx(share, abs=0.08)


def test_a_reverberated_batch_keeps_energy_and_place(dump):
    clean = open_batches(dump)
    wet = open_batches(dump, MixConfig(noise_prob=0, rir_prob=1))
    for step in range(5):
        one, two = by_utterance([clean.batch(step)]), by_utterance([wet.batch(step)])
        for key, (speech, _) in one.items():
            other = two[key][0]
            assert not torch.equal(speech, other)
            assert float(other.square().sum()) == pytest.approx(
                float(speech.square().sum()), rel=1e-4
            )


def test_what_the_device_applies_is_what_the_loader_would_have_applied(dump):
    loader = open_batches(dump, HEAVY, accum_grad=2)
    device = open_batches(dump, dataclasses.replace(HEAVY, augment_on="device"), accum_grad=2)
    seen = Counter()
    for step in range(12):
        for one, two in zip(loader.batch(step), device.batch(step), strict=True):
            seen.update(two.keys())
            applied = augmented({k: v for k, v in two.items() if k != "utt_ids"})
            assert applied.keys() == one.keys() - {"utt_ids"}
            torch.testing.assert_close(
                applied["speech"], one["speech"], rtol=0, atol=1e-4 * float(one["speech"].max())
            )
            assert torch.equal(applied["mask_uniforms"], one["mask_uniforms"])
    assert min(seen["mix_noise"], seen["room_rirs"]) > 10


def test_an_uneven_share_and_a_missing_bank_are_refused(dump):
    for options, parts, number in (
        ({"world": 16}, "16 ranks x 1 accumulation", 16),  # more than there are rows
        ({"accum_grad": 3}, "1 ranks x 3 accumulation", 3),
    ):
        with pytest.raises(ConfigError) as refused:
            open_batches(dump, **options)
        assert str(refused.value) == (
            f"{dump}/toy/plan: batches of 8 rows (the bucket of 0.4 s holds 8) cannot be shared "
            f"among {parts} steps; set plan.batch_multiple to a multiple of {number} and run stage "
            "7 (plan) again"
        )
    batches = open_batches(dump, HEAVY)
    batches.rirs = None
    with pytest.raises(ConfigError, match=r"rir_prob is 0.7 at step 5 without a RIR bank"):
        batches.batch(5)
    batches = open_batches(dump, MixConfig(noise_prob=0.1, rir_prob=0))
    batches.noise = None
    with pytest.raises(ConfigError, match=r"noise_prob is 0.1 at step 5 without a noise bank"):
        batches.batch(5)


def test_a_plan_for_so_many_ranks_serves_them_where_a_bucket_has_fewer_rows(dump):
    """What the refusal advises: some rows are then twice in a batch, with other draws."""
    config = PlanConfig(batch_bins=600_000, batch_multiple=32, num_buckets=1)
    build_plan(dump / "toy/index.arrow", dump / "toy/wide", config, seed=3)
    batches, plan = open_batches(dump), Plan.open(dump / "toy/wide")
    (bucket,) = plan.buckets
    assert (bucket.count, bucket.batch) == (24, 32)
    rows = [
        (utt_id, tuple(draws.tolist()))
        for rank in range(32)
        for micro in PretrainBatches(
            batches.index, batches.labels, plan, None, None, CLEAN, 0, rank=rank, world=32
        ).batch(0)
        for utt_id, draws in zip(micro["utt_ids"], micro["mask_uniforms"], strict=True)
    ]
    assert len(set(rows)) == 32
    assert len({utt_id for utt_id, _ in rows}) == 24


def test_a_plan_of_another_index_is_refused(dump):
    batches = open_batches(dump)
    plan = Plan.open(dump / "toy/plan")
    plan.summary = {**plan.summary, "index_sha256": "other"}
    with pytest.raises(DataError) as refused:
        PretrainBatches(batches.index, batches.labels, plan, None, None, CLEAN, 0)
    assert str(refused.value) == (
        f"{dump}/toy/plan: planned for another index than {dump}/toy/index.arrow; "
        "run stage 7 (plan) again"
    )


class BadDisk:
    """Clips whose reader fails where no row can stand in."""

    def clip(self, row):
        raise OSError(5, "Input/output error", "/a/file")


@pytest.mark.parametrize("workers", [0, 1])
def test_what_goes_wrong_in_a_worker_is_the_same_one_line(dump, workers):
    batches = open_batches(dump, MixConfig(noise_prob=0.1, rir_prob=0))
    batches.noise = None
    with pytest.raises(ConfigError) as refused:
        list(batches.loader(5, 7, workers))
    assert str(refused.value) == "noise_prob is 0.1 at step 5 without a noise bank"
    batches.config, batches.clips = CLEAN, BadDisk()
    with pytest.raises(OSError, match="Input/output error") as failed:
        list(batches.loader(5, 7, workers))
    assert (failed.value.errno, failed.value.filename) == (5, "/a/file")


def test_an_empty_range_of_steps_loads_nothing(dump):
    assert list(open_batches(dump).loader(5, 5)) == []
