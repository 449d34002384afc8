"""Real processes: two gloo ranks equal one, and a killed process loses nothing it saved."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from gloo_ranks import ENVIRONMENT, start_ranks
from tiny_training import run_tiny, tiny_config

from espnet2.train.checkpoint import load_tensors, saved_steps, step_path
from espnet2.train.distributed import World
from espnet2.train.metrics import read_metrics

SCRIPT = Path(__file__).with_name("tiny_training.py")
RUNS = ("whole", "parts")
KINDS = ("ddp", "fsdp")


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """Runs of two ranks: whole, in parts, and from step 4 to 8 of what one process began."""
    folder = tmp_path_factory.mktemp("ranks")
    for kind in KINDS:
        run_tiny(folder / kind, World(), tiny_config(accum_grad=2, max_steps=4))
    command = [sys.executable, str(SCRIPT), str(folder), "whole_and_parts"]
    for rank in start_ranks(command, stderr=subprocess.PIPE):
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


@pytest.mark.parametrize("kind", KINDS)
def test_one_process_then_two_ranks_then_one_equal_one_that_ran_through(two_ranks, tmp_path, kind):
    config = tiny_config(accum_grad=2)
    whole, _ = run_tiny(tmp_path, World(), config)
    changed, _ = run_tiny(two_ranks / kind, World(), config)
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(changed.state_dict()[name], tensor, atol=1e-6, rtol=0)
    ours, theirs = (read_metrics(f / "metrics.jsonl") for f in (two_ranks / kind, tmp_path))
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    assert [row["loss"] for row in ours] == pytest.approx([row["loss"] for row in theirs], abs=1e-6)


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
