import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planned_sets import make_plan

from espnet2.data.config import PlanConfig
from espnet2.data.plan import crop_lengths
from espnet2.data.tsv import read_dropped
from espnet2.utils.errors import ConfigError


def lengths_around(median_s, sigma, count):
    """(count,) samples of log-normal utterances of 0.5 to 40 s."""
    seconds = np.random.default_rng(0).lognormal(np.log(median_s), sigma, count)
    return (np.clip(seconds, 0.5, 40) * 16000).astype(np.int64)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(2, 30), min_size=1, max_size=12), st.integers(1, 3))
def test_crop_lengths_lose_the_least_of_all_choices(hops, count):
    hops = np.array(hops)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crop_lengths, "ROWS", 3)  # so that a few lengths fill several blocks
        edges = crop_lengths.best_edges(np.bincount(hops), count)

    def loss(edges):
        return int((hops - edges[np.searchsorted(edges, hops, side="right") - 1]).sum())

    sizes = np.unique(hops)
    choices = [np.array([sizes[0]])]
    for _ in range(count - 1):
        choices += [np.unique([*c, s]) for c in choices for s in sizes]
    assert len(edges) <= count
    assert edges[0] == sizes[0]
    assert loss(edges) == min(map(loss, choices))


@pytest.mark.parametrize(("sigma", "buckets", "share"), [(0.5, 40, 0.0297), (0.66, 48, 0.0280)])
def test_cropping_loses_less_than_three_percent_of_a_hundred_thousand_utterances(
    tmp_path, sigma, buckets, share
):
    """Of all utterances 81 and 68 % last 4 to 15 s; 48 buckets are the default."""
    lengths = lengths_around(8, sigma, 100_000)
    assert np.mean((lengths > 4 * 16000) & (lengths < 15 * 16000)) > 0.67
    options = {"num_buckets": buckets} if buckets != PlanConfig().num_buckets else {}
    plan = make_plan(tmp_path, lengths, batch_bins=102_400_000, batch_multiple=64, **options)
    assert len(plan.buckets) == buckets
    assert plan.summary["dropped"] == 0
    assert plan.summary["cropped_share"] == pytest.approx(share, abs=1e-4)


def test_what_is_longer_than_the_budget_is_cropped_and_counted(tmp_path):
    plan = make_plan(tmp_path, [64_000, 640_000], batch_bins=64_000, num_buckets=1)
    assert [(b.num_samples, b.count, b.batch) for b in plan.buckets] == [(64_000, 2, 1)]
    assert plan.summary["dropped"] == 0
    assert plan.summary["cropped_share"] == pytest.approx(1 - 128 / 704)


def test_a_bucket_too_small_for_a_batch_joins_the_next_shorter_one(tmp_path):
    lengths = [16_000] * 4 + [32_000] * 3 + [48_000] * 2
    plan = make_plan(tmp_path, lengths, batch_bins=192_000, batch_multiple=4, num_buckets=3)
    assert [(b.num_samples, b.count) for b in plan.buckets] == [(16_000, 4), (32_000, 5)]


def test_rows_lie_bucket_by_bucket_in_the_order_of_the_index(tmp_path):
    lengths = [48_000, 16_000, 32_000, 16_000, 48_000]
    plan = make_plan(tmp_path, lengths, batch_bins=192_000, num_buckets=3)
    assert np.asarray(plan.rows).tolist() == [1, 3, 2, 0, 4]
    assert [b.first for b in plan.buckets] == [0, 2, 3]


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
