import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2.data.buckets import best_edges, repeat_counts
from espnet2.data.config import PlanConfig
from espnet2.data.index import Index, IndexedUtterance, table_of, write_index
from espnet2.data.plan import Plan, build_plan
from espnet2.data.tsv import read_dropped
from espnet2.utils.errors import ConfigError, DataError


def make_index(folder, lengths, languages=None, corpora=None):
    rows = [
        IndexedUtterance(
            utt_id=f"u{i:05d}",
            recording=f"u{i}",
            shard="c/shards/000.ark",
            offset=0,
            nbytes=int(n) // 3,
            num_samples=int(n),
            language=languages[i] if languages else "eng",
            corpus=corpora[i] if corpora else "c",
            speaker="s",
            content_hash=f"{i:016x}",
        )
        for i, n in enumerate(lengths)
    ]
    write_index(folder / "index.arrow", table_of(rows))
    return Index.open(folder)


def make_plan(folder, lengths, seed=0, languages=None, **options):
    index = make_index(folder, lengths, languages)
    build_plan(index.path, folder / "plan", PlanConfig(**options), seed)
    return Plan.open(folder / "plan")


def lengths_of(count, seed=0):
    return np.random.default_rng(seed).integers(6400, 160_000, count)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60), st.integers(1, 6), st.integers(1, 4), st.integers(0, 9))
def test_each_row_appears_once_a_pass_whatever_the_sizes(
    tmp_path_factory, count, num_buckets, batch_multiple, seed
):
    plan = make_plan(
        tmp_path_factory.mktemp("plan"), lengths_of(count, seed), seed,
        batch_bins=700_000, num_buckets=num_buckets, batch_multiple=batch_multiple,
    )  # fmt: skip
    assert sum(b.count for b in plan.buckets) == count
    passes = 3
    seen = Counter()
    for step in range(int((passes + 1) * plan.steps_per_pass) + 1):
        batch = plan.batch(step)
        seen.update(zip(batch.rows.tolist(), batch.visits.tolist(), strict=True))
    assert set(seen.values()) == {1}  # no (row, visit) twice
    for row in range(count):  # and none of the first passes missing
        assert {(row, visit) for visit in range(passes)} <= set(seen)


def test_a_batch_has_one_length_fits_the_budget_and_divides_by_the_ranks(tmp_path):
    lengths = lengths_of(500)
    plan = make_plan(tmp_path, lengths, batch_bins=640_000, batch_multiple=4, num_buckets=6)
    for step in range(200):
        batch = plan.batch(step)
        assert batch.num_samples % 320 == 0
        assert batch.num_samples <= lengths[batch.rows].min()
        assert len(batch.rows) * batch.num_samples <= 640_000
        assert len(batch.rows) % 4 == 0


def test_batch_n_is_the_same_in_another_process_and_in_any_order(tmp_path):
    plan = make_plan(tmp_path, lengths_of(300), batch_bins=640_000)
    other = pickle.loads(pickle.dumps(plan))
    for step in (77, 3, 10**9, 3, 0):
        one, two = plan.batch(step), other.batch(step)
        np.testing.assert_array_equal(one.rows, two.rows)
        assert (one.num_samples, one.epoch) == (two.num_samples, two.epoch)
    assert plan.fingerprint == other.fingerprint


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


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(2, 30), min_size=1, max_size=12), st.integers(1, 3))
def test_crop_lengths_lose_the_least_of_all_choices(hops, count):
    hops = np.array(hops)
    edges = best_edges(hops, count)

    def loss(edges):
        return int((hops - edges[np.searchsorted(edges, hops, side="right") - 1]).sum())

    sizes = np.unique(hops)
    choices = [np.array([sizes[0]])]
    for _ in range(count - 1):
        choices += [np.unique([*c, s]) for c in choices for s in sizes]
    assert len(edges) <= count
    assert edges[0] == sizes[0]
    assert loss(edges) == min(map(loss, choices))


def test_forty_buckets_lose_less_than_three_percent(tmp_path):
    lengths = np.random.default_rng(0).gamma(4, 2.0, 5000) * 16000 + 16000
    plan = make_plan(tmp_path, np.minimum(lengths, 640_000), batch_bins=6_400_000, num_buckets=40)
    assert plan.summary["cropped_share"] < 0.03


def test_given_lengths_are_used_and_what_is_shorter_is_named(tmp_path):
    plan = make_plan(tmp_path, [6400, 16000, 40000, 99999], bucket_s=[0.5, 2.0], batch_bins=64000)
    assert [(b.num_samples, b.count) for b in plan.buckets] == [(8000, 1), (32000, 2)]
    (row,) = read_dropped(tmp_path / "plan/dropped.tsv")
    assert (row.utt_id, row.detail) == ("u00000", "6400 of 8000 samples")
    with pytest.raises(ConfigError, match=r"bucket_s \[9.0\] must lie between .* = 4 s"):
        make_plan(tmp_path, [6400], bucket_s=[9.0], batch_bins=64000)


def test_a_budget_for_less_than_a_frame_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="batch_bins 3000 holds no 8"):
        make_plan(tmp_path, [6400], batch_bins=3000, batch_multiple=8)


def test_temperature_half_draws_a_small_language_more_often(tmp_path):
    languages = ["eng"] * 1600 + ["fra"] * 100
    index = make_index(tmp_path, [16000] * 1700, languages)
    repeats = repeat_counts(index, PlanConfig(language_temperature=0.5), 0)
    assert set(repeats[:1600]) == {1}
    assert repeats[1600:].mean() == pytest.approx(4, abs=0.01)  # (1600 / 100) ** 0.5
    capped = repeat_counts(index, PlanConfig(language_temperature=0.0, max_repeats=2.5), 0)
    assert set(capped[1600:]) == {2, 3}
    assert set(repeat_counts(index, PlanConfig(), 0)) == {1}


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


def test_an_empty_set_has_a_plan_without_batches(tmp_path):
    plan = make_plan(tmp_path, [])
    assert plan.steps_per_pass == 0
    with pytest.raises(DataError, match="no batch for step 0"):
        plan.batch(0)
    with pytest.raises(DataError, match="run stage 7"):
        Plan.open(tmp_path)
