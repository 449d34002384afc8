"""Whether ranks can talk: a real all_reduce of two processes (gloo) and of all GPUs (NCCL)."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from espnet2.utils.doctor.children import answers
from espnet2.utils.doctor.finding import Finding, judged

LIMIT_S = 180.0  # with the import of torch on a busy machine
ADVICE = {
    "gloo": "ranks on CPUs cannot talk; name a network interface: export GLOO_SOCKET_IFNAME=lo",
    "nccl": "GPUs cannot talk; export NCCL_DEBUG=INFO shows why, NCCL_P2P_DISABLE=1 and "
    "NCCL_SHM_DISABLE=1 tell which way is broken",
}


def collective_findings(torch: dict[str, Any] | None) -> Iterator[Finding]:
    """``torch``: of ``torch_probe``; nothing is tried without it."""
    if torch is None:
        return
    yield reduced("gloo", 2)
    gpus = len(torch["gpus"])
    if gpus:
        yield reduced("nccl", gpus, f"NCCL {torch['nccl']}, ")


def reduced(backend: str, ranks: int, before: str = "") -> Finding:
    """The all_reduce of so many processes."""
    with tempfile.TemporaryDirectory(prefix="xeus_doctor_") as folder:
        meeting = str(Path(folder) / "meeting")
        found = answers(
            [["espnet2.utils.doctor.ranks", backend, str(rank), str(ranks), meeting]
             for rank in range(ranks)],
            LIMIT_S,
        )  # fmt: skip
    return verdict(backend, ranks, found, before)


def verdict(
    backend: str, ranks: int, found: list[tuple[dict[str, Any] | None, str]], before: str
) -> Finding:
    """What the ranks told, as one finding."""
    subject = {"gloo": "gloo", "nccl": "NCCL"}[backend]
    failed = [f"rank {rank}: {why}" for rank, (told, why) in enumerate(found) if told is None]
    if failed:
        return judged(subject, f"{before}all_reduce of {ranks} failed ({failed[0]})",
                      fail=ADVICE[backend])  # fmt: skip
    told = [answer for answer, _ in found if answer is not None]
    seconds, size = max(t["seconds"] for t in told), told[0]["bytes"]
    text = f"{before}all_reduce of {ranks}: {size >> 20} MiB in {1000 * seconds:.1f} ms"
    if not all(t["is_right"] for t in told):
        return judged(subject, text, fail="the sum is wrong; " + ADVICE[backend])
    return judged(subject, text)
