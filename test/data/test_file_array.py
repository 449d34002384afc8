import os
import pickle

import numpy as np
import pytest

from espnet2.data.file_array import FileArray
from espnet2.utils.errors import DataError

VALUES = np.arange(100_000, dtype=np.int32)[::-1] * 7


@pytest.fixture
def stored(tmp_path):
    np.save(tmp_path / "a.npy", VALUES)
    return FileArray.open_npy(tmp_path / "a.npy")


def test_it_answers_as_the_array_in_the_file_does(stored):
    rng = np.random.default_rng(0)
    assert (len(stored), stored.dtype) == (100_000, np.int32)
    assert isinstance(stored[5], np.int32)
    assert (stored[5], stored[-1], stored[np.int64(7)]) == (VALUES[5], VALUES[-1], VALUES[7])
    for part in (slice(3, 70), slice(None), slice(9, 4), slice(-3, None), slice(0, 999, 7)):
        np.testing.assert_array_equal(stored[part], VALUES[part])
    for rows in (rng.integers(0, 100_000, 500), np.array([3, 3, -1, 0]), np.arange(50_000, 90_000)):
        np.testing.assert_array_equal(stored[rows], VALUES[rows])
    grid = rng.integers(0, 100_000, (4, 5))
    np.testing.assert_array_equal(stored[grid], VALUES[grid])
    assert stored[[]].tolist() == stored[np.zeros(0, int)].tolist() == []
    np.testing.assert_array_equal(np.asarray(stored), VALUES)
    assert np.asarray(stored, np.float64).dtype == np.float64


def test_a_row_that_is_not_there_is_refused(stored):
    for rows in (100_000, -100_001, np.array([0, 100_000]), np.array([-100_001])):
        with pytest.raises(IndexError, match=r"row -?100001? of 100000|row 100000 of 100000"):
            stored[rows]
    with pytest.raises(TypeError, match="by integers, not by bool"):
        stored[np.ones(100_000, bool)]


def test_a_worker_opens_the_file_again(stored):
    again = pickle.loads(pickle.dumps(stored))
    assert again[11] == VALUES[11]
    assert len(pickle.dumps(stored)) < 500


def test_neighbours_are_read_together_and_distant_rows_are_not(stored, monkeypatch):
    reads = []
    together, alone = os.preadv, os.pread
    monkeypatch.setattr(os, "preadv", lambda f, b, o: reads.append(len(b[0])) or together(f, b, o))
    monkeypatch.setattr(os, "pread", lambda f, n, o: reads.append(n) or alone(f, n, o))
    stored[np.arange(0, 1000, 3)]
    assert reads == [999 // 3 * 3 * 4 + 4]
    reads.clear()
    stored[np.array([0, 90_000])]
    assert reads == [4, 4]


def test_a_file_that_was_cut_after_opening_is_named_wherever_it_is_read(stored):
    os.truncate(stored.path, 1000)
    for rows in (slice(90_000, 90_010), np.array([0, 90_000])):
        with pytest.raises(DataError, match="a.npy: cut short: ends before byte"):
            stored[rows]


def test_what_is_no_row_of_numbers_is_refused(tmp_path, stored):
    np.save(tmp_path / "square.npy", np.zeros((2, 2)))
    (tmp_path / "text.npy").write_text("no numbers")
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(data[:-1])
    for name, message in (
        ("square", r"float64 of shape \(2, 2\), not a row of numbers"),
        ("text", r"text\.npy: not a readable \.npy file"),
        ("absent", r"absent\.npy: not a readable \.npy file"),
        ("cut", r"cut\.npy: cut short: holds no 100,000 int32 numbers"),
    ):
        with pytest.raises(DataError, match=message):
            FileArray.open_npy(tmp_path / f"{name}.npy")
    (tmp_path / "a.npy").write_bytes(data[:200])
    os.truncate(tmp_path / "a.npy", 200)
    with pytest.raises(DataError, match="ends before byte"):
        stored[99]


def test_an_empty_array_is_an_array(tmp_path):
    np.save(tmp_path / "e.npy", np.zeros(0, np.uint32))
    empty = FileArray.open_npy(tmp_path / "e.npy")
    assert (len(empty), empty[:].tolist(), np.asarray(empty).tolist()) == (0, [], [])
