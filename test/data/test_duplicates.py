import numpy as np
import pytest

from espnet2.data import duplicates
from espnet2.data.duplicates import find_duplicates, scratch


def expected_pairs(keys):
    first = {}
    return [
        (row, first[key])
        for row, key in enumerate(keys.tolist())
        if first.setdefault(key, row) != row
    ]


@pytest.mark.parametrize("part_rows", [1, 7, 64, 10_000])
@pytest.mark.parametrize("kinds", [1, 5, 300, 10**9])
def test_every_repeated_key_names_the_first_row_that_has_it(
    tmp_path, monkeypatch, part_rows, kinds
):
    monkeypatch.setattr(duplicates, "PART_ROWS", part_rows)
    rng = np.random.default_rng(kinds)
    values = rng.integers(2**64, size=kinds if kinds < 1000 else 500, dtype=np.uint64)
    keys = values[rng.integers(len(values), size=400)]
    found = find_duplicates(np.split(keys, [0, 3, 250]), 400, tmp_path, "k")
    pairs = expected_pairs(keys)
    assert [tuple(pair) for chunk in found.chunks() for pair in chunk.tolist()] == pairs
    assert found.count == len(pairs)
    for start, stop in [(0, 400), (0, 1), (13, 13), (5, 200), (199, 400), (399, 400)]:
        own = [pair for pair in pairs if start <= pair[0] < stop]
        assert list(map(tuple, found.between(start, stop).tolist())) == own
        is_first = np.ones(stop - start, bool)
        is_first[[row - start for row, _ in own]] = False
        assert found.is_first(start, stop).tolist() == is_first.tolist()


def test_signed_keys_and_no_keys_at_all(tmp_path):
    keys = np.array([-1, 5, -1, -(2**63), 5])
    found = find_duplicates([keys], 5, tmp_path, "k")
    assert found.between(0, 5).tolist() == [[2, 0], [4, 1]]
    none = find_duplicates([], 0, tmp_path, "none")
    assert (none.count, none.is_first(0, 0).tolist(), list(none.chunks())) == (0, [], [])


def test_a_scratch_folder_begins_empty_and_goes_even_after_an_error(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/of a killed run").write_text("x")
    with pytest.raises(ValueError, match="stop"), scratch(tmp_path / "s") as folder:
        assert list(folder.iterdir()) == []
        (folder / "mine").write_text("x")
        raise ValueError("stop")
    assert not (tmp_path / "s").exists()
