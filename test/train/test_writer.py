"""The thread that writes: training goes on, bytes stay the same, and what failed is said once."""

import errno
import resource
import threading
from functools import partial

import pytest
import torch
from torch import nn

from espnet2.train.checkpoint import load_tensors, save_tensors
from espnet2.train.writer import Writer, host_copy


@pytest.fixture
def writer():
    writer = Writer()
    yield writer
    writer.close()


class Gate:
    """A job that waits in the thread until the test lets it go on."""

    def __init__(self):
        self.begun, self.go, self.seen = threading.Event(), threading.Event(), []

    def __call__(self, state):
        self.begun.set()
        assert self.go.wait(10)
        self.seen.append(state)


def state_with_everything():
    """Tied, transposed, empty, half-precision and scalar tensors; dicts with attributes; Adam."""
    model = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5), nn.BatchNorm1d(5))
    model[1].weight = model[0].weight
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    model(torch.randn(3, 5)).sum().backward()
    optimizer.step()
    table = torch.arange(12.0).view(3, 4)
    return {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(),
        "odd": [table.t(), table[1:, 2], torch.empty(0), torch.empty(0, 3), table.half()],
        "step": torch.tensor(3), "plain": {"name": "x", "lr": 0.1, "none": None, "pair": (1, 2)},
    }  # fmt: skip


def test_a_file_has_the_bytes_of_one_written_on_the_spot(tmp_path, writer):
    state = state_with_everything()
    save_tensors(tmp_path / "now.pth", state)
    writer.write(partial(save_tensors, tmp_path / "later.pth"), state)
    writer.wait()
    assert (tmp_path / "later.pth").read_bytes() == (tmp_path / "now.pth").read_bytes()
    loaded = load_tensors(tmp_path / "later.pth")
    assert torch.equal(loaded["odd"][0], torch.arange(12.0).view(3, 4).t())
    tied = [loaded["model"][f"{i}.weight"].data_ptr() for i in (0, 1)]
    assert tied[0] == tied[1]


def test_training_goes_on_while_a_state_is_written(tmp_path, writer):
    gate, weight = Gate(), torch.zeros(4)
    writer.write(gate, {"weight": weight})
    assert gate.begun.wait(10)
    weight += 1  # the next step
    writer.check()
    gate.go.set()
    writer.wait()
    assert gate.seen[0]["weight"].tolist() == [0, 0, 0, 0]


def test_a_second_state_waits_until_the_first_is_written(writer):
    gate, order = Gate(), []
    writer.write(gate, {"step": 1})
    threading.Timer(0.2, gate.go.set).start()
    writer.write(lambda state: order.append(len(gate.seen)), {"step": 2})
    writer.wait()
    assert (gate.seen, order) == ([{"step": 1}], [1])


@pytest.fixture
def small_files():
    """No file may grow over 64 KiB: the disk is full then."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("moment", ["check", "write", "close"])
def test_what_could_not_be_written_is_raised_once_where_the_run_next_looks(
    tmp_path, writer, small_files, moment
):
    save_tensors(tmp_path / "good.pth", {"w": torch.ones(4)})
    writer.write(partial(save_tensors, tmp_path / "bad.pth"), {"w": torch.zeros(2**16)})
    second = partial(save_tensors, tmp_path / "second.pth")
    with pytest.raises(OSError, match="bad.pth") as error:
        if moment == "check":
            writer.pending.exception(10)
            writer.check()
        elif moment == "write":
            writer.write(second, {"w": torch.ones(4)})
        else:
            writer.close()
    assert error.value.errno == errno.EFBIG
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["good.pth"]
    assert load_tensors(tmp_path / "good.pth")["w"].tolist() == [1, 1, 1, 1]


def test_a_check_does_not_wait(writer):
    gate = Gate()
    writer.write(gate, {})
    writer.check()
    assert gate.seen == []
    gate.go.set()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpus_state_is_copied_in_the_order_of_its_stream(tmp_path, writer):
    weight = torch.zeros(2**26, device="cuda")  # 256 MiB
    factor = torch.randn(4096, 4096, device="cuda")
    for _ in range(20):
        factor = factor @ factor.softmax(1)  # keeps the stream busy while the host goes on
    weight += factor.isfinite().all()
    state, event = host_copy({"w": weight, "again": weight[:8]})
    assert not event.query()
    weight += 1
    event.synchronize()
    assert (state["w"].device.type, state["w"].is_pinned()) == ("cpu", True)
    assert state["w"].unique().tolist() == [1]
    assert state["again"].data_ptr() == state["w"].data_ptr()
    writer.write(partial(save_tensors, tmp_path / "x.pth"), {"w": weight})
    weight += 1
    writer.wait()
    assert load_tensors(tmp_path / "x.pth")["w"].unique().tolist() == [2]
