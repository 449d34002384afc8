"""Real processes: two gloo ranks equal one, and a killed process loses nothing it saved."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_training import run_tiny, tiny_config

from espnet2.train.checkpoint import saved_steps
from espnet2.train.distributed import World
from espnet2.train.launch import torchrun_command

SCRIPT = Path(__file__).with_name("tiny_training.py")
ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run_ranks(exp_dir, steps, *options):
    command = [*torchrun_command(2), str(SCRIPT), str(exp_dir), str(steps), *options]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """A run of two ranks that stopped after 6 of 12 steps and was started again."""
    folder = tmp_path_factory.mktemp("ranks")
    for steps in (6, 12):
        result = run_ranks(folder, steps, "accum=2")
        assert result.returncode == 0, result.stderr
    return folder


def test_two_ranks_with_accumulation_equal_one_whole_batch(two_ranks, tmp_path):
    model, _ = run_tiny(tmp_path, World(), tiny_config())
    state = torch.load(two_ranks / "rank0.pth", weights_only=True)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(state[name], tensor, atol=1e-6, rtol=0)


def test_both_ranks_hold_the_same_bits(two_ranks):
    states = [torch.load(two_ranks / f"rank{rank}.pth", weights_only=True) for rank in (0, 1)]
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name])


def test_a_killed_process_resumes_to_the_same_bits(tmp_path):
    command = [sys.executable, str(SCRIPT), str(tmp_path / "parts"), "12", "dropout=0.3"]
    child = subprocess.Popen([*command, "pause=0.1"], env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    while not saved_steps(tmp_path / "parts/checkpoints"):
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (tmp_path / "parts/summary.json").exists()
    whole, _ = run_tiny(tmp_path / "whole", World(), tiny_config(), dropout=0.3)
    resumed, _ = run_tiny(tmp_path / "parts", World(), tiny_config(), dropout=0.3)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name])
