"""Store features or make them again every time: whichever a sample of the split says is faster.

A large encoder writes 2 MB a second of audio. A good GPU makes that faster than many disks read
it; a CPU never does. So both are timed, where they will be used, before anything is stored.
"""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from espnet2.asr.config import FeatureConfig

SMALL_GB = 0.1  # stored without measuring: a second of work either way
SAMPLE_S = 120.0  # of audio
MEMORY_SHARE = 0.5  # of free memory: what is smaller is read from disk once


@dataclass(frozen=True, kw_only=True)
class Storage:
    """What is done with a split's features, and why."""

    is_kept: bool
    size_gb: float
    reason: str
    compute_s_per_hour: float | None = None
    """Seconds to make the features of an hour of audio; None: not measured."""

    read_s_per_hour: float | None = None
    """Seconds to read them."""

    def as_dict(self) -> dict:
        """For storage.json."""
        return asdict(self)


def without_measuring(size_gb: float, config: FeatureConfig) -> Storage | None:
    """The decision where the settings or the size make it; None: measure."""
    if config.keep == "never":
        return Storage(is_kept=False, size_gb=size_gb, reason="nothing reads them from disk")
    if size_gb > config.disk_budget_gb:
        reason = f"over the budget of {config.disk_budget_gb:g} GB (disk_budget_gb)"
        return Storage(is_kept=False, size_gb=size_gb, reason=reason)
    if config.keep == "always":
        return Storage(is_kept=True, size_gb=size_gb, reason="keep: always")
    if size_gb < SMALL_GB:
        return Storage(is_kept=True, size_gb=size_gb, reason="small")
    return None


def measured_storage(
    size_gb: float, lengths_s: np.ndarray, make: Callable[[list[int]], list[np.ndarray]], out: Path
) -> Storage:
    """Time a sample: ``make`` computes the features of rows of the split.

    Args:
        lengths_s: (utterances,) seconds of audio.
        out: a folder on the disk where features would be kept.
    """
    rows = sample_rows(lengths_s, SAMPLE_S)
    hours = float(lengths_s[rows].sum()) / 3600
    make(rows[:1])  # the first call finds kernels and warms caches
    start = time.perf_counter()
    arrays = make(rows)
    compute_s = (time.perf_counter() - start) / hours
    read_s = time_reading(arrays, out, is_cold=size_gb * 1e9 > MEMORY_SHARE * free_memory()) / hours
    is_kept = read_s < compute_s
    faster = "reading" if is_kept else "computing"
    return Storage(
        is_kept=is_kept, size_gb=size_gb, reason=f"{faster} is faster",
        compute_s_per_hour=round(compute_s, 3), read_s_per_hour=round(read_s, 3),
    )  # fmt: skip


def sample_rows(lengths_s: np.ndarray, total_s: float) -> list[int]:
    """Rows with audio, spread over the split, of about ``total_s`` seconds; at least one."""
    rows = np.flatnonzero(lengths_s > 0)
    count = max(round(len(rows) * min(total_s / lengths_s.sum(), 1.0)), 1)
    return rows[np.linspace(0, len(rows) - 1, count).astype(int)].tolist()


def time_reading(arrays: list[np.ndarray], out: Path, is_cold: bool) -> float:
    """Seconds to read the arrays back from the disk of ``out``, or from memory if not cold."""
    with tempfile.NamedTemporaryFile(dir=out, prefix=".timing_") as file:
        for array in arrays:
            file.write(array.tobytes())
        file.flush()
        os.fsync(file.fileno())
        if is_cold:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        start = time.perf_counter()
        file.seek(0)
        for array in arrays:
            file.read(array.nbytes)
        return time.perf_counter() - start


def free_memory() -> int:
    """Bytes of memory that can be had without swapping."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
