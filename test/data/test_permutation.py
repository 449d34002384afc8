import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2.data.plan.permutation import LocalPermutation, Permutation


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**31))
def test_every_number_appears_exactly_once(size, seed):
    assert sorted(Permutation(size, seed)(np.arange(size))) == list(range(size))


def test_a_position_alone_gives_what_it_gives_among_others():
    permutation = Permutation(1000, 3, "bucket", 0)
    everything = permutation(np.arange(1000))
    for i in (0, 1, 500, 999):
        assert permutation(np.array([i]))[0] == everything[i]


def test_seeds_and_names_give_unrelated_orders():
    orders = [
        Permutation(500, seed, epoch)(np.arange(500)) for seed in range(3) for epoch in range(3)
    ]
    for i, one in enumerate(orders):
        for other in orders[:i]:
            assert (one == other).mean() < 0.02


def test_positions_are_spread_evenly():
    size, counts = 10, np.zeros((10, 10))
    for seed in range(2000):
        counts[np.arange(size), Permutation(size, seed)(np.arange(size))] += 1
    assert counts.min() > 140  # 200 expected in each cell, standard deviation 13
    assert counts.max() < 260


def test_neighbours_do_not_stay_neighbours():
    order = Permutation(4096, 1)(np.arange(4096))
    assert np.mean(np.abs(np.diff(order)) < 10) < 0.02


def test_ten_billion_rows_cost_no_memory():
    size = 10**10
    values = Permutation(size, 0)(np.array([0, 1, size - 1]))
    assert len(set(values.tolist())) == 3
    assert values.max() < size


def test_an_empty_permutation_is_refused():
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        Permutation(0, 1)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 400), st.integers(0, 2**31))
def test_runs_hold_every_number_once_and_neighbours_together(size, run, seed):
    order = LocalPermutation(size, run, seed)(np.arange(size))
    assert sorted(order) == list(range(size))
    for begin in range(0, size, run):
        together = order[begin : begin + run]
        assert ((together - together[0]) % size).tolist() == list(range(len(together)))


def test_runs_come_in_random_order_and_begin_elsewhere_with_every_name():
    orders = [LocalPermutation(1000, 8, 0, "rows", epoch)(np.arange(1000)) for epoch in range(20)]
    assert len({int(order[0]) % 8 for order in orders}) > 3
    jumps = np.diff(orders[0][::8])
    assert np.mean(np.abs(jumps) > 100) > 0.6
    last = [int(order[-1]) for order in orders]  # 1000 = 125 * 8: nothing is left over
    assert len(set(last)) > 15


def test_a_position_among_runs_alone_gives_what_it_gives_among_others():
    permutation = LocalPermutation(1003, 10, 3, "bucket")
    everything = permutation(np.arange(1003))
    for i in (0, 9, 10, 999, 1002):
        assert permutation(np.array([i]))[0] == everything[i]
    with pytest.raises(ValueError, match="size and run must be at least 1, got 5 and 0"):
        LocalPermutation(5, 0, 1)
