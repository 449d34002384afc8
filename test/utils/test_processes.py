"""Child processes."""

import multiprocessing
import os

import pytest
from torch.utils.data import DataLoader

from espnet2.utils.processes import loader_workers


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
