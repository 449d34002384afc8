"""How much memory this process takes on the device it trains on, and how much there is."""

import contextlib
import ctypes
import os
import resource
from pathlib import Path

import torch

KIB = 1024
MMAP_THRESHOLD = -3  # <malloc.h>
LARGE_BYTES = 4 * 2**20


def give_back_freed_memory() -> None:
    """Let the C library return freed tensors of the host to the system, those from 4 MiB on.

    By itself, glibc comes to keep those of up to 32 MiB in a heap with holes: a training step then
    holds an eighth more, for a few per cent of its time. Another C library is left as it is.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, LARGE_BYTES)


def memory_gib(device: torch.device) -> float | None:
    """Of a GPU the most that was reserved since the last call; of a CPU what this process and its
    children (the loader's) hold now. None where the system does not tell."""
    if device.type == "cuda":
        peak = torch.cuda.max_memory_reserved(device)
        torch.cuda.reset_peak_memory_stats(device)
        return gib(peak)
    own = os.getpid()
    held = sum(map(resident_bytes, [own, *children(own)]))
    return gib(held) if held else None


def children(pid: int) -> list[int]:
    """Process ids of the children of a process."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread may have ended since
            found += map(int, path.read_text(encoding="ascii").split())
    return found


def resident_bytes(pid: int) -> int:
    """Resident memory of a process; 0 of one that has ended."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(pages) * resource.getpagesize()


def peak_bytes(device: torch.device) -> int:
    """The most that was taken so far: of the GPU by torch, or of the host by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


def free_bytes(device: torch.device) -> int:
    """What could still be taken."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * KIB
    raise OSError("/proc/meminfo does not tell MemAvailable")


def gib(count: int) -> float:
    """Bytes in GiB."""
    return count / 2**30
