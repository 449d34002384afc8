import threading

import pytest

from espnet2.utils.read_ahead import read_ahead


def test_the_next_group_is_read_while_one_is_used():
    was_read = {name: threading.Event() for name in "abcd"}

    def read(name):
        was_read[name].set()
        return name.upper()

    groups = read_ahead(["ab", "c", "d"], read)
    assert next(groups) == ["A", "B"]
    assert was_read["c"].wait(10)
    assert not was_read["d"].is_set()
    assert list(groups) == [["C"], ["D"]]


def test_what_a_reader_raises_comes_when_its_group_is_due():
    def read(number):
        return 10 // number

    groups = read_ahead([[5], [2, 0], [1]], read)
    assert next(groups) == [2]
    with pytest.raises(ZeroDivisionError):
        next(groups)


def test_no_groups_are_no_groups():
    assert list(read_ahead([], str)) == []
    assert list(read_ahead([[]], str)) == [[]]
