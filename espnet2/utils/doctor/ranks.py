"""One rank of a real all_reduce, whose outcome it prints as one line of JSON.

Run by ``collectives.py`` in a process a rank: python3 -m espnet2.utils.doctor.ranks BACKEND RANK
RANKS FILE, where FILE is how they find each other.
"""

import datetime
import json
import sys
import time
from typing import Any

import torch
from torch import distributed as dist

PATIENCE = datetime.timedelta(seconds=60)
NUMBERS = {"gloo": 2**20, "nccl": 2**26}  # float32 that are summed: 4 MiB, 256 MiB
REPEATS = 3


def all_reduce(backend: str, rank: int, ranks: int, meeting: str) -> dict[str, Any]:
    """Sum rank + 1 over all ranks, several times; whether it is right, and how fast."""
    device = torch.device(f"cuda:{rank}" if backend == "nccl" else "cpu")
    if backend == "nccl":
        torch.cuda.set_device(device)
    dist.init_process_group(
        backend, init_method=f"file://{meeting}", rank=rank, world_size=ranks, timeout=PATIENCE
    )
    values, seconds = torch.zeros(NUMBERS[backend], device=device), []
    for _ in range(REPEATS):
        values.fill_(rank + 1)
        finish(device)
        begun = time.perf_counter()
        dist.all_reduce(values)
        finish(device)
        seconds.append(time.perf_counter() - begun)
    is_right = bool((values == ranks * (ranks + 1) // 2).all())
    dist.barrier()
    dist.destroy_process_group()
    return {"is_right": is_right, "seconds": min(seconds), "bytes": 4 * values.numel()}


def finish(device: torch.device) -> None:
    """Wait until a GPU has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    backend, rank, ranks, meeting = sys.argv[1:]
    print(json.dumps(all_reduce(backend, int(rank), int(ranks), meeting)))
