"""What torch says of itself and of the GPUs that it sees, as one line of JSON.

Run in a process of its own (``children.py``): a driver that does not fit may crash or hang it.
"""

import json
from typing import Any

import torch


def probe() -> dict[str, Any]:
    """Versions, and each GPU with the outcome of a real multiplication on it."""
    is_there = torch.cuda.is_available()
    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "is_available": is_there,
        "nccl": ".".join(map(str, torch.cuda.nccl.version())) if is_there else None,
        "architectures": torch.cuda.get_arch_list() if is_there else [],
        "gpus": [gpu(number) for number in range(torch.cuda.device_count())] if is_there else [],
    }


def gpu(number: int) -> dict[str, Any]:
    """One GPU; ``error`` is "" where 64 x 64 ones multiply to 64."""
    properties = torch.cuda.get_device_properties(number)
    major, minor = properties.major, properties.minor
    error = ""
    try:
        ones = torch.ones(64, 64, device=f"cuda:{number}")
        if (ones @ ones).sum().item() != 64**3:
            error = "a product of matrices came out wrong"
        free, _ = torch.cuda.mem_get_info(number)
    except RuntimeError as failure:
        error, free = str(failure).splitlines()[0], 0
    return {
        "name": properties.name, "memory": properties.total_memory, "free": free,
        "capability": f"{major}.{minor}", "has_bf16": major >= 8, "error": error,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(probe()))
