"""Spans of places: where they lie, how long they are."""

import math

import pytest
import torch

from espnet2.ssl.spans import SpanRule, draw_spans, num_uniforms, poisson_cdf, span_lengths

LENGTHS = {"static": {7}, "uniform": set(range(3, 15)), "normal": set(range(1, 60))}
LENGTHS["poisson"] = LENGTHS["normal"]


def rule(prob, length, selection="static", other=0.0, overlap=True, min_space=0, min_spans=2):
    return SpanRule(
        name="mask", prob=prob, length=length, selection=selection, other=other,
        overlap=overlap, min_space=min_space, min_spans=min_spans,
    )  # fmt: skip


def draw(rule, sizes):
    """One row for each of ``sizes``, the longest deciding the width."""
    generator = torch.Generator().manual_seed(3)
    uniforms = torch.rand(len(sizes), num_uniforms(max(sizes)), generator=generator)
    return draw_spans(uniforms, torch.tensor(sizes), rule)


def runs(is_masked):
    """Of one row: [(start, end), ...] of its stretches of True."""
    edges = torch.nn.functional.pad(is_masked.int(), (1, 1)).diff()
    starts, ends = (edges == 1).nonzero()[:, 0], (edges == -1).nonzero()[:, 0]
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def test_static_spans_are_whole():
    for row in draw(rule(0.3, 7), [200] * 400):
        assert all(end - start >= 7 for start, end in runs(row))


@pytest.mark.parametrize("min_space", [1, 3, 20])
@pytest.mark.parametrize("selection", ["static", "uniform", "normal", "poisson"])
@pytest.mark.parametrize("prob", [0.2, 0.65, 4.0])
def test_spans_apart_are_whole_and_as_far_apart_as_asked(prob, selection, min_space):
    sizes = [180, 100, 61, 16] * 25
    apart = rule(prob, 7, selection, 3.0, overlap=False, min_space=min_space)
    for row, size in zip(draw(apart, sizes), sizes, strict=True):
        spans = runs(row)
        assert 1 <= len(spans) <= math.ceil(prob * size / 7) + 1
        assert spans[-1][1] <= size
        assert {end - start for start, end in spans} <= LENGTHS[selection]
        for (_, end), (start, _) in zip(spans, spans[1:], strict=False):
            assert start - end >= min_space


@pytest.mark.parametrize(
    ("prob", "min_space", "spans"),
    [
        (0.4, 1, 40),
        (0.8, 1, 80),
        (0.8, 3, 77),
        (9.0, 1, 91),
        (1e300, 1, 91),
        (9.0, 0, 99),
        (0.001, 50, 2),
    ],
)
def test_as_many_spans_lie_apart_as_asked_for_or_as_fit(prob, min_space, spans):
    is_masked = draw(rule(prob, 10, overlap=False, min_space=min_space), [1000] * 50)
    assert (is_masked.sum(1) == 10 * spans).all()


def test_every_way_to_lay_spans_apart_is_equally_likely():
    is_masked = draw(rule(0.5, 2, overlap=False, min_space=1), [8] * 30_000)
    layouts, counts = is_masked.unique(dim=0, return_counts=True)
    assert all(len(runs(row)) == 2 for row in layouts)
    assert len(counts) == 10  # 3 free frames and 2 spans in any order: 5 choose 2
    chi_square = ((counts - 3000).double() ** 2 / 3000).sum()
    assert chi_square < 27.9  # 99.9 % of draws with 9 degrees of freedom


def test_spans_that_may_overlap_start_anywhere_alike():
    is_masked = draw(rule(0.02, 1), [40] * 30_000)  # two distinct single frames
    assert not is_masked[:, 39].any()  # the reference's starts lie below 40 - 1
    expected = 30_000 * 2 / 39
    chi_square = ((is_masked[:, :39].sum(0) - expected).double() ** 2 / expected).sum()
    assert chi_square < 70.7  # 99.9 % of draws with 38 degrees of freedom


def test_a_row_shorter_than_a_span_keeps_one_place_visible():
    for overlap in (True, False):
        is_masked = draw(rule(0.8, 10, overlap=overlap, min_space=1), [6, 5, 2, 1] * 50)
        hidden = is_masked.sum(1).view(50, 4)
        assert (hidden[:, 3] == 0).all()
        assert (hidden[:, :3] > 0).all()
        assert (hidden < torch.tensor([6, 5, 2, 2])).all()


@pytest.mark.parametrize(("drawn", "spans"), [([0.0, 0.5], 3), ([0.0, 0.0], 1)])
def test_empty_spans_take_no_room_and_if_all_are_empty_the_first_is_not(drawn, spans):
    uniforms = torch.rand(500, num_uniforms(100))
    uniforms[:, 0] = 0.0  # six spans, and lengths of 0 or 10
    uniforms[:, 101:] = torch.tensor(drawn).repeat(50)
    apart = rule(0.6, 10, "uniform", 0.0, overlap=False, min_space=9)
    for row in draw_spans(uniforms, torch.full((500,), 100), apart):
        assert [end - start for start, end in runs(row)] == [10] * spans


def test_the_only_span_of_a_short_row_leaves_one_place():
    uniforms = torch.rand(500, num_uniforms(6))
    uniforms[:, 7:] = 0.0
    is_masked = draw_spans(uniforms, torch.full((500,), 6), rule(0.8, 10, "uniform", 0.0))
    assert {len(runs(row)) for row in is_masked} == {1}
    assert is_masked.sum(1).unique().tolist() == [1, 2, 3, 4, 5]


def test_no_fewest_number_of_spans_may_mean_none():
    is_masked = draw(rule(0.1, 10, min_spans=0), [20] * 4000)  # 0.2 spans a row
    assert is_masked.any(1).float().mean() == pytest.approx(0.2, abs=0.03)


def test_uniform_lengths_reach_both_ends():
    uniforms = torch.tensor([[0.0, 0.9999999, 0.5]])
    assert span_lengths(uniforms, rule(1, 10, "uniform", 0.0)).tolist() == [[0, 20, 10]]
    assert span_lengths(uniforms, rule(1, 10, "uniform", 4.0)).tolist() == [[4, 20, 12]]


def test_normal_lengths_have_the_right_mean_and_deviation_and_are_never_empty():
    generator = torch.Generator().manual_seed(0)
    uniforms = torch.rand(20000, generator=generator)
    drawn = span_lengths(uniforms, rule(1, 30, "normal", 4.0)).float()
    assert abs(drawn.mean() - 30) < 0.15
    assert abs(drawn.std() - 4) < 0.1
    assert span_lengths(uniforms, rule(1, 2, "normal", 9.0)).min() == 1


def test_poisson_lengths_have_the_right_mean_and_variance():
    generator = torch.Generator().manual_seed(0)
    drawn = span_lengths(torch.rand(20000, generator=generator), rule(1, 10, "poisson")).float()
    assert abs(drawn.mean() - 10) < 0.15
    assert abs(drawn.var() - 10) < 0.6
    assert poisson_cdf(10, "cpu")[-1] == pytest.approx(1)


def test_equal_numbers_are_ordered_by_place():
    uniforms = torch.cat([torch.full((1, 51), 0.5), torch.rand(1, 50)], dim=1)
    is_masked = draw_spans(uniforms, torch.tensor([50]), rule(0.001, 1))
    assert runs(is_masked[0]) == [(0, 2)]
