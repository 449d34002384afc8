"""Child processes that never outlive their parent."""

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espnet2.utils.logs import log

PR_SET_PDEATHSIG = 1
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends, however it ends.

    Without it a killed driver leaves workers behind that write into the next run's folders.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def begin_worker(number: int) -> None:
    """A DataLoader's ``worker_init_fn``: the worker dies with the process that reads from it.

    It leaves the group of processes that a stop signal goes to: who reads still wants its batches.
    """
    os.setpgrp()
    die_with_parent()


def loader_workers(number: int) -> dict[str, Any]:
    """Arguments of a DataLoader that reads with so many worker processes (0: in this one).

    There are never more than this process has cores: they would only wait for each other. Batches
    do not depend on their number. They are forked, so that this process is their parent. A fork
    server (Python 3.14's default) would be it instead, and its workers would live on when this
    process is killed.
    """
    cores = len(os.sched_getaffinity(0))
    if number > cores:
        say_fewer_workers(number, cores)
        number = cores
    context = "fork" if number else None
    return {
        "num_workers": number, "multiprocessing_context": context, "worker_init_fn": begin_worker
    }  # fmt: skip


@functools.cache
def say_fewer_workers(asked: int, cores: int) -> None:
    """Say it once a process."""
    log(f"num_workers {asked}: {cores} here, as many as this process has cores")


def is_running(process: int) -> bool:
    """Whether a process of this machine still works, and is not just about to be gone.

    One that ends gives up its memory, and with it its command line, before its files and locks:
    whoever gets such a lock sees it as ended.
    """
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes() != b""
    except (FileNotFoundError, ProcessLookupError):
        return False


def signal_children(number: int) -> list[int]:
    """Send a signal to every child of this process; returns their numbers."""
    children = Path("/proc/self/task").glob("*/children")
    found = sorted({int(pid) for path in children for pid in path.read_text().split()})
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return found


def stop_children(limit_s: float) -> None:
    """Ask every child to stop and wait for their end, up to ``limit_s``; then they are killed."""
    children, end = signal_children(signal.SIGTERM), time.monotonic() + limit_s
    while any(is_running(child) for child in children) and time.monotonic() < end:
        time.sleep(0.1)
    signal_children(signal.SIGKILL)


def one_thread_environment() -> dict[str, str]:
    """This environment with one thread a process: two processes of one thread beat one of two."""
    return {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")}


def start(
    command: list[str], variables: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen:
    """Start a single-threaded child that dies with this process.

    ``variables`` are added to its environment.
    """
    environment = {**one_thread_environment(), **(variables or {})}
    return subprocess.Popen(command, env=environment, preexec_fn=die_with_parent, **options)
