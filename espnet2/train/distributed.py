"""Ranks: who we are, sums over all of us, and a clean end."""

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Iterator

import torch
from torch import Tensor, distributed

from espnet2.train.launch import LOST
from espnet2.train.slurm import take_rank_from_srun
from espnet2.utils.errors import ConfigError, XeusError
from espnet2.utils.hardware import has_amx_bf16
from espnet2.utils.processes import die_with_parent

MARGIN_S = 30.0  # after the watchdog, which can say more


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """One rank's place among all."""

    rank: int = 0
    """From 0; rank 0 writes the files."""

    size: int = 1
    """Number of ranks."""

    device: torch.device = torch.device("cpu")
    """Where this rank computes."""

    @property
    def is_first(self) -> bool:
        """Whether this rank writes files and lines."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """``value`` summed over the ranks; the argument stays as it is."""
        if self.size > 1:
            value = value.clone()
            distributed.all_reduce(value)
        return value

    def from_first(self, number: int) -> int:
        """Rank 0's ``number``, on every rank."""
        return int(self.sum(torch.tensor(number if self.is_first else 0, device=self.device)))


@contextlib.contextmanager
def joined(ngpu: int = 0, timeout_s: float = 900.0) -> Iterator[World]:
    """Join the ranks that torchrun or srun started; alone without them.

    ``ngpu`` of 0 trains on the CPU, one thread a rank: ranks that share cores wait for each other
    otherwise. The barrier at the end keeps a rank from tearing down a group that others still use.

    Args:
        timeout_s: how long ranks wait for each other; a watchdog of this time speaks first.

    Raises:
        ConfigError: there is no GPU for this rank.
        XeusError: the other ranks are gone.
    """
    take_rank_from_srun()
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    world = World(rank=rank, size=size, device=own_device(ngpu))
    if size == 1:
        with explained(world):
            yield world
        return
    die_with_parent()
    distributed.init_process_group(
        "nccl" if ngpu > 0 else "gloo",
        timeout=datetime.timedelta(seconds=timeout_s + MARGIN_S),
        device_id=world.device if ngpu > 0 else None,
    )
    with explained(world):
        yield world
        distributed.barrier()
    distributed.destroy_process_group()  # after an error it would wait for the others


@contextlib.contextmanager
def explained(world: World) -> Iterator[None]:
    """What torch raises when another process is gone, as one line.

    Raises:
        XeusError: other ranks or a loader worker ended.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "/gloo/" in str(error):
            told = f"{LOST}: {first_line(error)}"
        elif "DataLoader worker" in str(error):
            told = f"has lost a loader worker: {first_line(error)} (was the memory too small?)"
        else:
            raise
        raise XeusError(f"rank {world.rank} of {world.size} {told}") from None


def own_device(ngpu: int) -> torch.device:
    """This rank's, set up.

    Raises:
        ConfigError: there is no GPU for this rank.
    """
    if ngpu == 0:
        torch.set_num_threads(1)
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    if device.index >= torch.cuda.device_count():
        raise ConfigError(
            f"--ngpu {ngpu}: GPUs that torch finds here: {torch.cuda.device_count()}; ask for "
            "no more (--ngpu 0 uses the CPU)"
        )
    torch.cuda.set_device(device)
    torch.set_float32_matmul_precision("high")
    return device


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` of the host on ``device``; the host does not wait for the copy.

    From ordinary memory a copy to a GPU would wait for everything that the GPU has to do.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()  # torch keeps it until the copy is made, and for the next one
    return tensor.to(device, non_blocking=True)


def first_line(error: Exception) -> str:
    """The first sentence of a long message, without where in its source a library found it."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return line.rpartition("] ")[2].partition(". ")[0].strip()


def autocast_dtype(asked: str, device: torch.device) -> torch.dtype:
    """``train_dtype`` resolved: auto is bfloat16 where ``device`` multiplies it in hardware."""
    if asked != "auto":
        return {"bfloat16": torch.bfloat16, "float32": torch.float32}[asked]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if has_amx_bf16() else torch.float32
