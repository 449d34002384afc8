"""GPUs: what the driver sees, what torch sees, and whether the two fit."""

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

from espnet2.utils.doctor.finding import Finding, judged

GIB = 2**30
PATIENCE_S = 30.0  # for nvidia-smi to answer
QUERY = ("name", "driver_version", "memory.total", "mig.mode.current")
SMALL_GPU = 16 * GIB  # below it the paper's model trains with activation_ckpt and small batches


def driver_gpus() -> tuple[list[dict[str, str]], str]:
    """The GPUs that nvidia-smi lists, and why there are none."""
    if shutil.which("nvidia-smi") is None:
        return [], "no nvidia-smi"
    command = ["nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader,nounits"]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return [], f"nvidia-smi gave no answer in {PATIENCE_S:.0f} s"
    if result.returncode:
        return [], " ".join((result.stdout + result.stderr).split()) or "nvidia-smi failed"
    rows = [[word.strip() for word in line.split(",")] for line in result.stdout.splitlines()]
    gpus = [dict(zip(QUERY, row, strict=True)) for row in rows if len(row) == len(QUERY)]
    return gpus, "" if gpus else " ".join(result.stdout.split()) or "nvidia-smi lists no GPU"


def gpu_findings(
    driver: tuple[list[dict[str, str]], str], torch: dict[str, Any] | None, why: str
) -> Iterator[Finding]:
    """``driver``: of ``driver_gpus``; ``torch``: of ``torch_probe``, or None and ``why``."""
    listed, reason = driver
    if listed:
        versions = ", ".join(sorted({gpu["driver_version"] for gpu in listed}))
        yield judged("GPU driver", f"{versions}, {counted([gpu['name'] for gpu in listed])}")
    elif reason == "no nvidia-smi":
        yield judged("GPU driver", "none", advice="everything runs on the CPU; pre-training the "
                     "paper's model needs GPUs")  # fmt: skip
    else:
        yield judged("GPU driver", reason, fail="the driver does not answer; reload or update it")
    if torch is None:
        yield judged("torch", why, fail="torch cannot be used; run tools/install.sh")
        return
    yield torch_build(listed, torch)
    for number, gpu in enumerate(torch["gpus"]):
        yield one_gpu(number, gpu, torch)
    if any(gpu["mig.mode.current"] == "Enabled" for gpu in listed):
        yield judged("MIG", "enabled", warn="a process sees one slice and NCCL joins none of them; "
                     "--ngpu 1, or have MIG disabled to train on whole GPUs")  # fmt: skip


def torch_build(listed: list[dict[str, str]], torch: dict[str, Any]) -> Finding:
    """Whether this torch is made for the driver."""
    found = f"{torch['torch']}, " + (f"CUDA {torch['cuda']}" if torch["cuda"] else "no CUDA")
    fail = ""
    if listed and not torch["cuda"]:
        fail = (
            "a build for the CPU beside a GPU; remove tools/venv and run tools/install.sh, or "
            "pip install a build with CUDA"
        )
    elif listed and not torch["is_available"]:
        fail = (
            f"torch finds no GPU: driver {listed[0]['driver_version']} is too old for CUDA "
            f"{torch['cuda']}, or CUDA_VISIBLE_DEVICES hides it; update the driver, or install a "
            f"torch for an older CUDA"
        )
    return judged("torch", found, fail=fail)


def one_gpu(number: int, gpu: dict[str, Any], torch: dict[str, Any]) -> Finding:
    """Whether a GPU computes, and how well it suits."""
    found = (
        f"{gpu['name']}, {gpu['memory'] / GIB:.0f} GiB ({gpu['free'] / GIB:.0f} free), compute "
        f"capability {gpu['capability']}, {'bf16' if gpu['has_bf16'] else 'no bf16'}"
    )
    fail = warn = ""
    if gpu["error"]:
        built = ", ".join(torch["architectures"]) or "none"
        fail = f"it does not compute ({gpu['error']}); this torch is built for {built}"
    elif not gpu["has_bf16"]:
        warn = "set train_dtype: float32; --bf16 is slow here"
    elif gpu["memory"] < SMALL_GPU:
        warn = "the paper's model trains in little memory only with activation_ckpt; --find_batch"
    return judged(f"GPU {number}", found, warn, fail)


def counted(names: list[str]) -> str:
    """``8 x NVIDIA H100``."""
    return ", ".join(f"{names.count(name)} x {name}" for name in sorted(set(names)))
