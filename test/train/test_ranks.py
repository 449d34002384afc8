"""Real processes: two gloo ranks equal one, and a killed process loses nothing it saved."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_training import run_tiny, tiny_config

from espnet2.train.checkpoint import load_tensors, saved_steps, step_path
from espnet2.train.distributed import World
from espnet2.train.metrics import read_metrics

SCRIPT = Path(__file__).with_name("tiny_training.py")
ROOT = Path(__file__).resolve().parents[2]
RUNS = ("whole", "parts")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def rank_environment(rank, size, port):
    """What torchrun sets; without it a test spares one process that imports torch."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
    return {**ENVIRONMENT, "MASTER_ADDR": "127.0.0.1", **{k: str(v) for k, v in place.items()}}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """A run of two ranks, whole and in parts."""
    folder, port = tmp_path_factory.mktemp("ranks"), free_port()
    command = [sys.executable, str(SCRIPT), str(folder), "whole_and_parts"]
    ranks = [
        subprocess.Popen(command, env=rank_environment(rank, 2, port), stderr=subprocess.PIPE)
        for rank in (0, 1)
    ]
    for rank in ranks:
        _, err = rank.communicate()
        assert rank.returncode == 0, err.decode()
    return folder


def test_two_ranks_with_accumulation_equal_one_whole_batch(two_ranks, tmp_path):
    model, _ = run_tiny(tmp_path, World(), tiny_config())
    state = torch.load(two_ranks / "rank0.pth", weights_only=True)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(state[name], tensor, atol=1e-6, rtol=0)


def test_both_ranks_hold_the_same_bits(two_ranks):
    states = [torch.load(two_ranks / f"rank{rank}.pth", weights_only=True) for rank in (0, 1)]
    assert_same_bits(*states)


def test_two_resumed_ranks_equal_two_that_never_stopped(two_ranks):
    states = [load_tensors(step_path(two_ranks / run / "checkpoints", 12)) for run in RUNS]
    assert_same_bits(*(state["model"] for state in states))
    moments = [state["optimizer"]["state"][0] for state in states]
    assert_same_bits(*moments)


def test_metrics_of_ranks_are_sums_over_them(two_ranks, tmp_path):
    run_tiny(tmp_path, World(), tiny_config())
    ours, theirs = (read_metrics(f / "metrics.jsonl") for f in (two_ranks / "whole", tmp_path))
    for row, other in zip(ours, theirs, strict=True):
        for name in ("step", "loss", "near_acc", "grad_norm", "lr"):
            assert row[name] == pytest.approx(other[name], rel=1e-5)


def assert_same_bits(one, other):
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_a_killed_process_resumes_to_the_same_bits(tmp_path):
    command = [sys.executable, str(SCRIPT), str(tmp_path), "slow"]
    child = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    while not saved_steps(tmp_path / "parts/checkpoints"):
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (tmp_path / "parts/summary.json").exists()
    whole, _ = run_tiny(tmp_path / "whole", World(), tiny_config(), dropout=0.3)
    resumed, _ = run_tiny(tmp_path / "parts", World(), tiny_config(), dropout=0.3)
    assert_same_bits(whole.state_dict(), resumed.state_dict())
