"""Where the time goes, how much memory is held, and the line that says so."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from espnet2.train.clock import Clock, over_ranks
from espnet2.train.distributed import World
from espnet2.train.memory import memory_gib, resident_bytes
from espnet2.train.progress import duration, progress_line, validation_line

CPU = torch.device("cpu")
ROW = {
    "step": 50, "loss": 3.5, "masked_acc": 0.125, "unmasked_acc": 0.2, "lr": 1e-3,
    "grad_norm": 0.5, "skipped": 0.0, "x_real_time": 150.4, "data_wait": 0.012, "step_s": 0.5,
    "memory_gib": 1.26,
}  # fmt: skip
GPU_ROW = ROW | {
    "step": 123_450, "grad_norm": 11.13, "x_real_time": 15_915.4, "mfu": 0.4123,
    "communication": 0.031, "memory_gib": 71.24, "step_s": 1.9,
}  # fmt: skip


def test_the_clock_knows_what_share_was_waiting():
    clock = Clock(CPU)
    clock.audio_s, clock.steps = 100.0, 4
    clock.begun -= 10
    clock.waited_s, clock.paused_s = 2.0, 5.0
    rates = clock.read()
    assert rates["x_real_time"] == pytest.approx(20, rel=1e-2)
    assert rates["data_wait"] == pytest.approx(0.4, rel=1e-2)
    assert rates["step_s"] == pytest.approx(1.25, rel=1e-2)
    assert clock.steps == 0


def test_mfu_is_a_share_of_the_peak_and_unknown_without_one():
    clock = Clock(CPU)
    clock.flops = 10e12
    assert "mfu" not in clock.read()
    clock.peak_flops_s = 100e12
    clock.begun -= 2
    clock.flops = 100e12
    assert clock.read()["mfu"] == pytest.approx(0.5, rel=1e-2)


def test_communication_is_asked_for_once_an_interval_and_absent_alone():
    clock, asked = Clock(CPU), []
    assert "communication" not in clock.read()
    clock.exposed_s = lambda: asked.append(1) or 3.0
    clock.begun -= 10
    assert clock.read()["communication"] == pytest.approx(0.3, rel=1e-2)
    assert asked == [1]
    assert "communication" in clock.read()  # the function stays for the next interval


def test_communication_that_nobody_measured_is_no_zero():
    assert over_ranks({"communication": 0.0, "step_s": 2.0}, World()) == {"step_s": 2.0}


def test_a_pause_inside_a_pause_counts_once():
    clock = Clock(CPU)
    with clock.paused():
        with clock.paused():
            time.sleep(0.05)
        time.sleep(0.05)
    assert 0.1 <= clock.paused_s < 0.14


def test_a_pause_ends_with_an_error_inside():
    clock = Clock(CPU)
    with pytest.raises(ValueError, match="inside"), clock.paused():
        raise ValueError("inside")
    assert clock.pauses == 0
    assert clock.paused_s > 0


class Heavy(Dataset):
    """Takes 64 MiB in the process that reads it."""

    def __len__(self):
        return 2

    def __getitem__(self, item):
        self.held = np.ones(2**23)
        return item


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_the_memory_of_loader_workers_counts():
    before = memory_gib(CPU)
    batches = iter(DataLoader(Heavy(), batch_size=None, num_workers=1))
    assert next(batches) == 0
    assert memory_gib(CPU) > before + 0.0625
    del batches  # ends the worker
    assert memory_gib(CPU) == pytest.approx(resident_bytes(os.getpid()) / 2**30, abs=0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_a_process_that_has_ended_holds_nothing():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert resident_bytes(ended.pid) == 0


def test_the_progress_line_says_what_a_person_asks():
    assert progress_line(ROW, 200) == (
        "step 50/200  loss 3.500  masked_acc 12.5 %  lr 1.0e-03  grad 0.50  150 x real time  "
        "data wait 1.2 %  1.3 GiB  ETA 1m15s"
    )


def test_the_progress_line_of_a_large_run_is_still_a_line():
    line = progress_line(GPU_ROW, 670_000)
    assert line == (
        "step 123450/670000  loss 3.500  masked_acc 12.5 %  lr 1.0e-03  grad 11.13  "
        "15915 x real time  MFU 41.2 %  data wait 1.2 %  comm 3.1 %  71.2 GiB  ETA 12d00h"
    )
    assert len(line) <= 160


def test_an_interval_without_a_finite_gradient_has_a_line_without_its_figures():
    known = {name: ROW[name] for name in ("step", "lr", "x_real_time", "data_wait", "step_s")}
    assert progress_line({**known, "skipped": 1.0}, 50) == (
        "step 50/50  lr 1.0e-03  150 x real time  data wait 1.2 %  "
        "SKIPPED 100 % (not finite)  ETA 0s"
    )


def test_a_validation_without_a_finite_loss_has_a_line():
    row = {"split": "valid", "step": 50, "majority_share": 0.25}
    assert validation_line(row) == "valid at step 50  loss not finite  majority_share 25.0 %"
    row |= {"loss": 2.5}
    assert validation_line(row) == "valid at step 50  loss 2.500  majority_share 25.0 %"


def test_accuracies_of_other_models_are_shown_by_their_names():
    row = {k: v for k, v in ROW.items() if not k.endswith("acc")}
    assert "near_acc 50.0 %" in progress_line(row | {"near_acc": 0.5}, 200)


def test_durations_are_read_at_a_glance():
    assert [duration(s) for s in (9, 75, 7260, 90_000)] == ["9s", "1m15s", "2h01m", "1d01h"]
