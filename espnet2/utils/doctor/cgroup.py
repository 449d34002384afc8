"""What a container or a batch system leaves of the machine (cgroup v2, then v1)."""

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
NO_LIMIT = 1 << 60  # bytes; cgroup v1 writes a number above it for "no limit"


def own_folders(root: Path = ROOT, own: Path = Path("/proc/self/cgroup")) -> list[Path]:
    """Folders whose limits hold for this process: its own group's and all above it."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return [root]
    folders = {root, root / "cpu", root / "memory"}
    for line in lines:
        _, names, path = line.split(":", 2)
        base = root if not names else root / names
        for part in [Path(path), *Path(path).parents]:
            folders.add(base / part.relative_to("/"))
    return sorted(folders)


def cpu_limit(root: Path = ROOT, own: Path = Path("/proc/self/cgroup")) -> float | None:
    """Processors' worth of time that this process may take; None without a limit."""
    limits = []
    for folder in own_folders(root, own):
        quota, period = words(folder / "cpu.max", 2) or (None, None)
        if quota is None:
            (quota,) = words(folder / "cpu.cfs_quota_us", 1) or (None,)
            (period,) = words(folder / "cpu.cfs_period_us", 1) or (None,)
        if quota and period and quota.isdecimal() and period.isdecimal() and int(period):
            limits.append(int(quota) / int(period))
    return min(limits, default=None)


def memory_limit(root: Path = ROOT, own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Bytes of memory that this process and its like may take; None without a limit."""
    limits = []
    for folder in own_folders(root, own):
        for name in ("memory.max", "memory.limit_in_bytes"):
            found = words(folder / name, 1)
            if found and found[0].isdecimal() and int(found[0]) < NO_LIMIT:
                limits.append(int(found[0]))
    return min(limits, default=None)


def words(path: Path, count: int) -> list[str] | None:
    """The first ``count`` words of a file; None where it is not there or has fewer."""
    try:
        found = path.read_text(encoding="utf-8").split()
    except OSError:
        return None
    return found[:count] if len(found) >= count else None
