import os
import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planned_sets import in_small_chunks, make_index, make_plan

from espnet2.data.config import PlanConfig
from espnet2.data.index import Index
from espnet2.data.plan import Plan, build_plan
from espnet2.data.plan.repeats import Repeats
from espnet2.data.tsv import read_dropped
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.files import write_json

LONGEST = 40_000  # samples of one utterance that fit the budget below
LENGTHS = st.lists(st.integers(300, 3 * LONGEST // 2), min_size=1, max_size=50)


def lengths_of(count, seed=0):
    return np.random.default_rng(seed).integers(6400, 160_000, count)


def repeats_of(folder, count, config, seed):
    """(rows,) how often each utterance should appear in a pass; 0 where it is dropped."""
    times = [part for _, part in Repeats(Index.open(folder), config, seed)]
    times = np.concatenate([np.zeros(0, int), *times])
    dropped = {int(row.utt_id[1:]) for row in read_dropped(folder / "plan/dropped.tsv")}
    return np.array([0 if i in dropped else times[i] for i in range(count)], int)


@settings(max_examples=60, deadline=None)
@given(
    LENGTHS, st.integers(1, 6), st.integers(1, 4), st.integers(1, 9),
    st.sampled_from([1.0, 0.5, 0.0]), st.integers(0, 99),
)  # fmt: skip
def test_every_utterance_appears_as_often_as_its_weight_says_and_nothing_exceeds_the_budget(
    tmp_path_factory, lengths, num_buckets, multiple, locality, temperature, seed
):
    folder, budget = tmp_path_factory.mktemp("plan"), LONGEST * multiple
    languages = ["eng" if i % 4 else "fra" for i in range(len(lengths))]
    config = PlanConfig(batch_bins=budget, batch_multiple=multiple, num_buckets=num_buckets,
                        locality=locality, language_temperature=temperature)  # fmt: skip
    index = make_index(folder, lengths, languages)
    summary = build_plan(index.path, folder / "plan", config, seed)
    plan, times = Plan.open(folder / "plan"), repeats_of(folder, len(lengths), config, seed)
    passes, seen, crop = 2, Counter(), {}
    # A bucket smaller than its batch is drawn only every few passes, then several times at once.
    late = max((-(-bucket.batch // bucket.count) for bucket in plan.buckets), default=0)
    for step in range(int((passes + late) * plan.steps_per_pass) + 1 if plan.buckets else 0):
        batch = plan.batch(step)
        assert len(batch.rows) * batch.num_samples <= budget
        assert {len(batch.rows[rank::multiple]) for rank in range(multiple)} == {
            len(batch.rows) // multiple
        }
        for row, visit in zip(batch.rows.tolist(), batch.visits.tolist(), strict=True):
            seen[row, visit] += 1
            assert crop.setdefault(row, batch.num_samples) == batch.num_samples <= lengths[row]
    assert set(seen.values()) <= {1}
    expected = {(row, v) for row in range(len(lengths)) for v in range(passes * times[row])}
    assert expected <= set(seen)
    dropped = [i for i, length in enumerate(lengths) if length < 640]  # no frame after cropping
    assert np.flatnonzero(times == 0).tolist() == dropped
    assert summary["dropped"] == len(dropped)
    drawn = sum(times[row] * lengths[row] for row in crop)
    kept = sum(times[row] * crop[row] for row in crop)
    assert summary["cropped_share"] == pytest.approx(1 - kept / drawn if drawn else 0)
    assert summary["hours_per_pass"] == pytest.approx(drawn / 16000 / 3600)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=30), st.integers(1, 7))
def test_a_batch_depends_on_seed_plan_and_step_alone(tmp_path_factory, steps, locality):
    folder = tmp_path_factory.mktemp("plan")
    options = {"batch_bins": 640_000, "locality": locality, "language_temperature": 0.5}
    plan = make_plan(folder, lengths_of(300), 7, ["eng", "eng", "fra"] * 100, **options)
    other = pickle.loads(pickle.dumps(plan))
    there = {step: plan.batch(step) for step in steps}
    for step in reversed(steps):
        one, two = there[step], other.batch(step)
        np.testing.assert_array_equal(one.rows, two.rows)
        np.testing.assert_array_equal(one.visits, two.visits)
        assert (one.num_samples, one.epoch) == (two.num_samples, two.epoch)
    assert plan.fingerprint == other.fingerprint


def test_batches_stay_what_they_were(tmp_path):
    """Made with the first version of the plan, which held all rows in memory."""
    plan = make_plan(tmp_path, 16000 + 997 * np.arange(12), 3, batch_bins=96_000, num_buckets=2)
    assert [plan.batch(step).rows.tolist() for step in range(4)] == [
        [6, 10, 9, 8], [5, 4, 2, 1, 3, 0], [4, 1, 5, 3, 0, 2], [9, 7, 6, 8]
    ]  # fmt: skip
    plan = make_plan(tmp_path / "t", [16000] * 6, 3, ["eng"] * 4 + ["fra", "zul"],
                     batch_bins=64_000, language_temperature=0.3)  # fmt: skip
    batches = [plan.batch(step) for step in range(3)]
    assert [batch.rows.tolist() for batch in batches] == [[4, 1, 5, 4], [3, 2, 5, 4], [0, 5, 0, 5]]
    assert [batch.visits.tolist() for batch in batches] == [
        [2, 0, 1, 1], [0, 0, 0, 0], [0, 2, 1, 3]
    ]  # fmt: skip


def test_a_plan_does_not_depend_on_the_size_of_the_chunks(tmp_path, monkeypatch):
    languages, lengths = ["eng", "fra", "eng", "deu"] * 75, lengths_of(300)
    for name, options in {
        "plain": {},
        "repeats": {"language_temperature": 0.4},
        "given": {"bucket_s": [1.0, 5.0]},
        "packed": {"pack_s": 3.0, "language_temperature": 0.4},
    }.items():
        texts = set()
        for size in (10**6, 64, 7):
            in_small_chunks(monkeypatch, size)
            folder = tmp_path / name / str(size)
            make_plan(folder, lengths, 1, languages, batch_bins=640_000, **options)
            texts.add(tuple((folder / "plan" / file).read_bytes() for file in
                            ("plan.json", "rows.npy", "dropped.tsv")))  # fmt: skip
        assert len(texts) == 1


def test_opening_reads_no_rows_and_a_batch_few(tmp_path):
    plan = make_plan(tmp_path, lengths_of(2000), batch_bins=640_000)
    bytes_of_rows = os.path.getsize(tmp_path / "plan/rows.npy")
    assert os.path.getsize(tmp_path / "plan/plan.json") < 8000
    os.truncate(tmp_path / "plan/rows.npy", bytes_of_rows - 4)
    with pytest.raises(DataError, match="rows.npy: cut short"):
        Plan.open(tmp_path / "plan")
    assert len(plan.batch(0).rows)


def test_a_build_that_fails_or_an_older_plan_leaves_none_to_open(tmp_path):
    plan = make_plan(tmp_path, lengths_of(20), batch_bins=640_000)
    write_json(tmp_path / "older/plan.json", {"config": {}, "buckets": [], "seed": 0})
    with pytest.raises(DataError, match="older: made by an older version; run stage 7"):
        Plan.open(tmp_path / "older")
    with pytest.raises(ConfigError, match="holds no 8"):
        build_plan(
            tmp_path / "index.arrow", plan.folder, PlanConfig(batch_bins=1, batch_multiple=8), 0
        )
    with pytest.raises(DataError, match="holds no plan.json; run stage 7"):
        Plan.open(plan.folder)
    assert sorted(p.name for p in plan.folder.iterdir()) == ["dropped.tsv", "rows.npy"]


def test_seeds_and_passes_have_orders_of_their_own(tmp_path):
    plans = [make_plan(tmp_path / str(s), lengths_of(400), s, batch_bins=320_000) for s in range(2)]
    first = [tuple(plans[0].batch(s).rows) for s in range(40)]
    assert first != [tuple(plans[1].batch(s).rows) for s in range(40)]
    later = int(plans[0].steps_per_pass)
    assert first != [tuple(plans[0].batch(s + later).rows) for s in range(40)]


def test_buckets_are_visited_in_proportion_to_their_batches(tmp_path):
    plan = make_plan(tmp_path, lengths_of(2000), batch_bins=480_000, num_buckets=4)
    steps = int(5 * plan.steps_per_pass)
    visits = Counter(plan.batch(step).num_samples for step in range(steps))
    for bucket in plan.buckets:
        expected = 5 * bucket.count / bucket.batch
        assert abs(visits[bucket.num_samples] - expected) <= bucket.count / bucket.batch + 1


def test_repeats_are_separate_visits_of_one_pass(tmp_path):
    languages = ["eng"] * 90 + ["fra"] * 10
    plan = make_plan(tmp_path, [16000] * 100, languages=languages, batch_bins=16000 * 10,
                     language_temperature=0.5)  # fmt: skip
    assert sum(b.count for b in plan.buckets) == 90 + 30
    seen = Counter()
    for step in range(24):
        batch = plan.batch(step)
        seen.update(zip(batch.rows.tolist(), batch.visits.tolist(), strict=True))
    assert seen == Counter(
        [(r, v) for r in range(90) for v in range(2)]
        + [(r, v) for r in range(90, 100) for v in range(6)]
    )


def test_locality_fills_a_batch_from_few_places_that_change_from_pass_to_pass(tmp_path):
    plan = make_plan(tmp_path, [16000] * 960, batch_bins=16000 * 32, locality=8)

    def runs(step):
        rows = plan.batch(step).rows
        return np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)

    first, second = (
        [run for s in steps for run in runs(s)] for steps in (range(30), range(30, 60))
    )
    # 120 runs of 8; a few more where the ring closes, a few less where two runs happen to join.
    assert 110 <= len(first) <= 121
    assert {run[0] % 8 for run in first if len(run) == 8} != {
        run[0] % 8 for run in second if len(run) == 8
    }
    scattered = make_plan(tmp_path / "1", [16000] * 960, batch_bins=16000 * 32)
    assert np.mean(np.diff(scattered.batch(0).rows) == 1) < 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"locality": 0}, "plan.locality must be a number from 1 on, got 0"),
        ({"num_buckets": 0}, "plan.num_buckets must be a number from 1 on, got 0"),
        ({"batch_multiple": -1}, "plan.batch_multiple must be a number from 1 on, got -1"),
        ({"language_temperature": -0.5}, "plan.language_temperature must be a number from 0 on"),
        ({"corpus_temperature": float("nan")}, "plan.corpus_temperature .* got nan"),
        ({"max_repeats": 0.5}, "plan.max_repeats must be a number from 1 on, got 0.5"),
        ({"max_crop_s": 0.0}, "plan.max_crop_s must be a number from 0.04 on, got 0.0"),
        ({"pack_s": 0.0}, "plan.pack_s must be a number above 0, or null; got 0.0"),
        ({"hours_per_gpu_hour": -1.0}, "plan.hours_per_gpu_hour must be a number above 0"),
        ({"bucket_s": [1.0, 0.0]}, r"plan.bucket_s must hold lengths from 0.04 s on, got \[1.0"),
        ({"pack_s": 4.0, "locality": 2}, "leave one of them out"),
    ],
)
def test_an_absurd_setting_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        PlanConfig(**options)


def test_an_empty_set_has_a_plan_without_batches(tmp_path):
    plan = make_plan(tmp_path, [])
    assert plan.steps_per_pass == 0
    with pytest.raises(
        DataError,
        match=r"plan: an empty plan: no utterance is long enough for a batch; give the set",
    ):
        plan.batch(0)
    with pytest.raises(DataError, match="run stage 7"):
        Plan.open(tmp_path)
    (tmp_path / "valid").mkdir()
    too_small = (
        r"give the set more audio \(a larger combine.valid_ratio, from stage 3 on\), or lower"
    )
    with pytest.raises(DataError, match=too_small):
        make_plan(tmp_path / "valid", []).batch(0)
