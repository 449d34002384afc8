"""Child processes."""

import multiprocessing
import os
import warnings

import pytest
from torch.utils.data import DataLoader

from espnet2.utils.processes import loader_workers, say_fewer_workers


@pytest.fixture
def fork_server():
    """The default of Python 3.14."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("forkserver", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


class Family:
    """Who reads, and whose child that is."""

    def __len__(self):
        return 2

    def __getitem__(self, item):
        return os.getpid(), os.getppid(), os.getpgid(0)


@pytest.mark.parametrize("number", [0, 2])
def test_loader_workers_are_children_of_who_reads_and_no_stop_signal_is_for_them(
    fork_server, number
):
    loader = DataLoader(Family(), batch_size=None, collate_fn=tuple, **loader_workers(number))
    read = list(loader)
    own = (os.getpid(), os.getppid(), os.getpgid(0))
    if not number:
        assert read == [own, own]
    for pid, parent, group in read if number else []:
        assert parent == own[0]
        assert group == pid


def test_there_are_no_more_workers_than_cores_and_it_is_said_once(capfd):
    cores = len(os.sched_getaffinity(0))
    say_fewer_workers.cache_clear()
    assert loader_workers(cores)["num_workers"] == cores
    assert capfd.readouterr().err == ""
    assert loader_workers(cores + 3)["num_workers"] == cores
    assert loader_workers(cores + 3)["num_workers"] == cores
    said = capfd.readouterr().err
    assert said.count(f"num_workers {cores + 3}: {cores} here") == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch's own words
        DataLoader(Family(), batch_size=None, **loader_workers(cores + 3))
