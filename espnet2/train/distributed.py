"""Ranks: who we are, sums over all of us, and a clean end."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from espnet2.utils.errors import ConfigError
from espnet2.utils.hardware import has_amx_bf16
from espnet2.utils.processes import die_with_parent


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

    def parallel(self, model: nn.Module) -> nn.Module:
        """``model`` with gradients averaged over the ranks while backward runs.

        Without ``device_ids`` it leaves its inputs where they are: lengths stay on the host.
        """
        if self.size == 1:
            return model
        return DistributedDataParallel(model, gradient_as_bucket_view=True)


@contextlib.contextmanager
def joined(ngpu: int = 0) -> Iterator[World]:
    """Join the ranks that torchrun (or srun with its variables) started; alone without them.

    ``ngpu`` of 0 trains on the CPU, one thread a rank: ranks that share cores wait for each other
    otherwise. The barrier at the end keeps a rank from tearing down a group that others still use.
    Raises ConfigError where there is no GPU for this rank.
    """
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device = torch.device("cpu")
    if ngpu > 0:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        if device.index >= torch.cuda.device_count():
            raise ConfigError(
                f"--ngpu {ngpu}: GPUs that torch finds here: {torch.cuda.device_count()}; ask for "
                "no more (--ngpu 0 uses the CPU)"
            )
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high")
    else:
        torch.set_num_threads(1)
    world = World(rank=rank, size=size, device=device)
    if size == 1:
        yield world
        return
    die_with_parent()
    distributed.init_process_group("nccl" if ngpu > 0 else "gloo")
    try:
        yield world
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


def autocast_dtype(asked: str, device: torch.device) -> torch.dtype:
    """``train_dtype`` resolved: auto is bfloat16 where ``device`` multiplies it in hardware."""
    if asked != "auto":
        return {"bfloat16": torch.bfloat16, "float32": torch.float32}[asked]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if has_amx_bf16() else torch.float32
