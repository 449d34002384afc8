"""Threads, memory, file handles, shared memory, free disk: what the operating system grants."""

import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from espnet2.utils.doctor.cgroup import cpu_limit, memory_limit
from espnet2.utils.doctor.finding import Finding, judged
from espnet2.utils.processes import THREAD_VARIABLES

GIB = 2**30
FEW_HANDLES, ENOUGH_HANDLES = 1024, 4096
MIN_MEMORY, GOOD_MEMORY = 4 * GIB, 16 * GIB  # the mini recipe; the paper's model at 12 bytes each
WORKER_BYTES = 256 * 2**20  # of shared memory: batches of 40 s that wait, of one loader worker
WORKERS = 4  # that are looked after; section pretrain's num_workers
MIN_DISK, GOOD_DISK = 5 * GIB, 100 * GIB
SHARED = Path("/dev/shm")


def system_findings(folder: Path) -> Iterator[Finding]:
    """Every subject of this file; ``folder``: where data and experiments will lie."""
    yield threads()
    yield memory()
    yield file_handles(*resource.getrlimit(resource.RLIMIT_NOFILE))
    yield shared_memory()
    yield free_disk(folder)


def usable_cores() -> tuple[int, float | None]:
    """Cores that this process may run on, and the cgroup's limit of time on them."""
    return len(os.sched_getaffinity(0)), cpu_limit()


def threads() -> Finding:
    """Numeric libraries start a thread a core that they see, and fight over fewer."""
    cores, limit = usable_cores()
    available = min(cores, limit or cores)
    found = f"{cores} cores" + (f", cgroup limit {limit:g}" if limit else "")
    values = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    chosen = values["OMP_NUM_THREADS"]
    found += f", OMP_NUM_THREADS {chosen or 'not set'}"
    several = max(int(available), 1)
    if chosen is not None and not chosen.isdecimal():
        warn = f"OMP_NUM_THREADS={chosen} is no number; export OMP_NUM_THREADS={several}"
    elif chosen is not None and int(chosen) > several:
        warn = f"more threads than cores slow each other; export OMP_NUM_THREADS={several}"
    elif chosen is None and limit and limit < cores:
        warn = (
            f"libraries see {cores} cores and may use {limit:g}; export OMP_NUM_THREADS={several}"
        )
    else:
        warn = ""
    advice = "" if chosen else "stages set one thread a process themselves"
    return judged("threads", found, warn=warn, advice=advice)


def memory() -> Finding:
    """What the machine and the cgroup leave."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = memory_limit()
    usable = min(total, limit or total)
    found = f"{total / GIB:.0f} GiB"
    if limit and limit < total:
        found += f", cgroup limit {limit / GIB:.1f} GiB"
    found += f", {available_memory() / GIB:.1f} GiB free"
    fail = warn = ""
    if usable < MIN_MEMORY:
        fail = f"the mini recipe needs {MIN_MEMORY / GIB:.0f} GiB; ask for more (SLURM: --mem)"
    elif usable < GOOD_MEMORY:
        warn = (
            f"enough for the mini recipe; a checkpoint of the 577M model is written through "
            f"{GOOD_MEMORY / GIB:.0f} GiB"
        )
    return judged("memory", found, warn, fail)


def available_memory() -> int:
    """Bytes that can be had without swapping."""
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def file_handles(soft: int, hard: int) -> Finding:
    """Loader workers hand tensors over in open files; shards and memory maps stay open, too."""
    found = f"ulimit -n {shown(soft)}, at most {shown(hard)}"
    fail = warn = ""
    if soft != resource.RLIM_INFINITY and soft < ENOUGH_HANDLES:
        can_raise = hard == resource.RLIM_INFINITY or hard > soft
        to_do = f"ulimit -n {shown(hard)}" if can_raise else "ask for a higher hard limit"
        if soft < FEW_HANDLES:
            fail = f"loader workers run out of them ('Too many open files'); {to_do}"
        else:
            warn = f"many loader workers or ranks may run out of them; {to_do}"
    return judged("file handles", found, warn, fail)


def shown(limit: int) -> str:
    """A limit as ulimit prints it."""
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)


def shared_memory(folder: Path = SHARED) -> Finding:
    """Batches go from loader workers to training through it."""
    if not folder.is_dir():
        return judged(
            "shared memory", f"no {folder}",
            fail="loader workers cannot hand over batches; set num_workers: 0, or mount a tmpfs",
        )  # fmt: skip
    usage = shutil.disk_usage(folder)
    found = f"{folder} {usage.total / GIB:.1f} GiB, {usage.free / GIB:.1f} GiB free"
    workers = int(usage.free // WORKER_BYTES)
    warn = fail = ""
    to_do = "Docker: --shm-size 8g or --ipc=host; else a lower num_workers"
    if not workers:
        fail = f"too little for one loader worker ('Bus error'); {to_do}"
    elif workers < WORKERS:
        warn = f"room for about {workers} loader workers of a rank; {to_do}"
    return judged("shared memory", found, warn, fail)


def free_disk(folder: Path) -> Finding:
    """Bytes and file names that are left."""
    usage, names = shutil.disk_usage(folder), os.statvfs(folder)
    found = f"{usage.free / GIB:.0f} of {usage.total / GIB:.0f} GiB free at {folder.absolute()}"
    fail = warn = ""
    if usage.free < MIN_DISK:
        fail = f"the mini recipe writes up to {MIN_DISK / GIB:.0f} GiB; free some, or --dir DIR"
    elif names.f_files and names.f_favail < 10_000:
        fail = f"{names.f_favail} more files may be made (df -i); remove some"
    elif usage.free < GOOD_DISK:
        warn = "enough for the mini recipe; a corpus takes 60 MB an hour, a checkpoint 7 GB"
    return judged("free disk", found, warn, fail)
