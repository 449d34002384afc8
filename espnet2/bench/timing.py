"""How the GPU benchmarks take time, and how a failure becomes a cell of a table."""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from espnet2.ssl.config import SSLModelConfig
from espnet2.train.config import TrainConfig
from espnet2.utils.logs import log
from espnet2.utils.peaks import Peak

T = TypeVar("T")
REPEATS = (3, 50)  # fewest and most timed calls
REASON_CHARS = 160  # of an error, in a table
LAST_FRAMES = -3  # of a traceback, in the log
NOTHING = "–"
OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Where and at which size to measure."""

    device: torch.device
    """CUDA, or a CPU that only proves that everything runs."""

    peak: Peak | None
    """The device's best; None where it is not known."""

    model: SSLModelConfig
    """The model: XEUS, or a tiny one."""

    train: TrainConfig
    """How it is trained; only optimiser, clipping, type and the last phase matter here."""

    is_tiny: bool
    """Sizes for a CPU."""

    can_compile: bool
    """Whether torch.compile may be tried."""

    deadline: float
    """Of ``time.monotonic()``: no further row is begun after it."""

    def clear(self) -> None:
        """Give back the memory of what is no longer used, and forget what was compiled."""
        if self.can_compile:
            torch.compiler.reset()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds and memory of a call."""

    median_s: float
    """Median over the timed calls."""

    first_s: float
    """The first call, with compiling and choosing of kernels."""

    peak_bytes: int | None
    """Most memory allocated during a call, with all that was there before; None on a CPU."""


def measure(setup: Setup, call: Callable[[], object], budget_s: float) -> Timing:
    """Time ``call``: twice to warm up, then as often as ``budget_s`` seconds allow.

    A tiny setup only shows that the call works, with the fewest repeats.
    """
    first_s = wall_s(setup, call)
    if setup.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    once_s = wall_s(setup, call)
    low, high = REPEATS
    repeats = low if setup.is_tiny else min(high, max(low, int(budget_s / once_s)))
    if setup.device.type != "cuda":
        times = [wall_s(setup, call) for _ in range(repeats)]
        return Timing(median_s=statistics.median(times), first_s=first_s, peak_bytes=None)
    times = event_times(call, repeats)
    return Timing(
        median_s=statistics.median(times),
        first_s=first_s,
        peak_bytes=torch.cuda.max_memory_allocated(),
    )


def wall_s(setup: Setup, call: Callable[[], object]) -> float:
    """Seconds of one call, until the device has finished."""
    wait(setup)
    begun = time.perf_counter()
    call()
    wait(setup)
    return time.perf_counter() - begun


def wait(setup: Setup) -> None:
    """Until the device has done all that it was given."""
    if setup.device.type == "cuda":
        torch.cuda.synchronize()


def event_times(call: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of each of ``repeats`` calls, handed to the GPU without waiting in between."""
    pairs = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        pairs.append((begin, end))
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) / 1000 for begin, end in pairs]


def attempt(setup: Setup, function: Callable[[], T]) -> T | str:
    """What ``function`` returns, or one line that says why there is no result.

    Any error may come out of a kernel or a compiler. It must not end the run; its whole text and
    its last calls go to the log.
    """
    if time.monotonic() > setup.deadline:
        return "not run: the time of --budget_s is used up"
    try:
        return function()
    except torch.OutOfMemoryError:
        reason = OUT_OF_MEMORY
    except Exception as error:
        log(traceback.format_exc(limit=LAST_FRAMES))
        reason = f"failed: {type(error).__name__}: {' '.join(str(error).split())}"[:REASON_CHARS]
    with contextlib.suppress(RuntimeError):  # a GPU that broke down cannot give memory back
        setup.clear()  # here, where the error no longer holds the tensors
    return reason


def milliseconds(seconds: float) -> str:
    """``0.00123`` -> ``1.23``."""
    return f"{1000 * seconds:.3g}" if seconds < 1 else f"{1000 * seconds:.0f}"


def row_of(title: str, cells: list[str]) -> tuple[str, ...]:
    """A finished row, also told to the log: a run that is cut short has not measured in vain."""
    log(f"{title}: {' | '.join(cells)}")
    return tuple(cells)
