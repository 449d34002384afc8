"""Where a result came from: commit, versions, hardware, command."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

PACKAGES = ("torch", "numpy", "scipy", "soundfile", "soxr", "transformers", "pyarrow")
PACKAGE = Path(__file__).resolve().parents[1]
REPOSITORY = PACKAGE.parent  # the checkout; of an installed wheel, the folder of its packages
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else REPOSITORY / "conf"  # a wheel's copy


def provenance() -> dict[str, str]:
    """Facts to store beside a result; nothing in it changes the result."""
    return {
        "commit": git_commit(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "time": time.strftime("%F %T %Z"),
        "python": platform.python_version(),
        "hardware": hardware(),
        **({"gpu": gpus} if (gpus := gpu_names()) else {}),
        **{name: version(name) for name in PACKAGES},
    }


def git_commit() -> str:
    """The checkout's commit, ``+changes`` where files differ from it; a wheel's version."""
    if not (REPOSITORY / ".git").exists():  # git itself would look in the folders above
        return f"none (xeus {version('xeus')})"
    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        return commit + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def git(*arguments: str) -> str:
    """Output of one git command in this checkout."""
    command = ["git", "-C", str(REPOSITORY), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def version(name: str) -> str:
    """Installed version of a package, or "not installed"."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def hardware() -> str:
    """Processor, usable cores and memory in one line."""
    cores = len(os.sched_getaffinity(0))
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{processor()}, {cores} cores, {memory_gib:.0f} GiB"


def gpu_names() -> str:
    """The GPUs in sight, such as "8 x NVIDIA H100"; "" where this process has used none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return ""
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join(f"{names.count(name)} x {name}" for name in sorted(set(names)))


def processor() -> str:
    """Model name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
