"""One rank alone, and the number type that ``auto`` stands for."""

import os
import signal

import pytest
import torch

from espnet2.train import distributed as ranks
from espnet2.train.distributed import World, autocast_dtype, joined, sent
from espnet2.utils.errors import ConfigError, XeusError

CPU = torch.device("cpu")


def test_alone_a_sum_is_the_value_itself():
    world, value = World(), torch.tensor(3.0)
    assert world.is_first
    assert world.sum(value) is value
    assert world.from_first(7) == 7


def test_without_torchrun_there_is_one_rank_with_one_thread(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with joined() as world:
        assert (world.rank, world.size, world.device) == (0, 1, CPU)
        assert torch.get_num_threads() == 1


@pytest.mark.parametrize(("there", "rank"), [(0, "0"), (1, "1")])
def test_a_rank_without_a_gpu_of_its_own_is_refused_in_one_line(monkeypatch, there, rank):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    monkeypatch.setenv("LOCAL_RANK", rank)
    message = f"--ngpu 2: GPUs that torch finds here: {there}; ask for no more"
    with pytest.raises(ConfigError, match=message), joined(ngpu=2):
        pass


@pytest.mark.parametrize(("has_amx", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_is_bfloat16_only_where_the_processor_multiplies_it(monkeypatch, has_amx, dtype):
    monkeypatch.setattr(ranks, "has_amx_bf16", lambda: has_amx)
    assert autocast_dtype("auto", CPU) == dtype
    assert autocast_dtype("bfloat16", CPU) == torch.bfloat16
    assert autocast_dtype("float32", CPU) == torch.float32


class Deadly(torch.utils.data.Dataset):
    """Kills the process that reads from it."""

    def __len__(self):
        return 1

    def __getitem__(self, item):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_loader_worker_that_is_killed_is_one_line():
    batches = torch.utils.data.DataLoader(Deadly(), batch_size=None, num_workers=1)
    told = (
        r"^rank 0 of 1 has lost a loader worker: DataLoader worker .* \(was the memory too small\?"
    )
    with pytest.raises(XeusError, match=told), joined():
        list(batches)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="^shapes do not fit$"), joined():
        raise RuntimeError("shapes do not fit")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_host_does_not_wait_for_what_it_sends_to_a_busy_gpu():
    batch, device = torch.ones(2**24), torch.device("cuda")  # 64 MiB
    sent(batch, device)  # its pinned memory is there from now on
    torch.cuda.synchronize()
    factor, busy = torch.randn(4096, 4096, device=device), torch.cuda.Event()
    for _ in range(100):
        factor = factor @ factor.softmax(1)
    busy.record()
    moved = sent(batch, device)
    assert not busy.query()
    assert moved.sum().item() == 2**24
