"""Ranks as torchrun would start them, without one process more that imports torch."""

import os
import socket
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def rank_environment(rank, size, port):
    """What torchrun sets."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
    return {**ENVIRONMENT, "MASTER_ADDR": "127.0.0.1", **{k: str(v) for k, v in place.items()}}


def start_ranks(command, size=2, **options):
    """``size`` processes of ``command``, not waited for."""
    port = free_port()
    return [
        subprocess.Popen(command, env=rank_environment(rank, size, port), **options)
        for rank in range(size)
    ]
