"""What this machine's processor can do."""

from pathlib import Path


def has_amx_bf16() -> bool:
    """Whether the processor multiplies bfloat16 matrices in hardware (Intel AMX)."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return any("amx_bf16" in line for line in lines if line.startswith("flags"))
