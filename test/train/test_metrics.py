"""Meters, the metrics file and the lines a person reads."""

import pytest
import torch

from espnet2.train.distributed import World
from espnet2.train.metrics import (
    Clock,
    Meters,
    MetricsFile,
    duration,
    progress_line,
    read_metrics,
)
from espnet2.train.plots import draw_curves


def test_a_meter_is_a_ratio_of_sums_not_a_mean_of_ratios():
    meters = Meters()
    meters.add("acc", torch.tensor(1.0), torch.tensor(2.0))
    meters.add("acc", torch.tensor(1), torch.tensor(8))
    meters.add("nothing", torch.tensor(0.0), torch.tensor(0.0))
    assert meters.read(World()) == {"acc": 0.2}
    assert meters.read(World()) == {}


def test_resuming_drops_later_rows_and_a_cut_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    first = MetricsFile(path, resumed_step=0)
    for step in (10, 20, 30):
        first.add({"split": "train", "step": step, "loss": 1.0})
    with open(path, "a") as file:
        file.write('{"split": "tr')
    again = MetricsFile(path, resumed_step=20)
    again.add({"split": "train", "step": 30, "loss": 0.5})
    assert [(row["step"], row["loss"]) for row in read_metrics(path)] == [
        (10, 1.0), (20, 1.0), (30, 0.5),
    ]  # fmt: skip


def test_the_clock_knows_what_share_was_waiting():
    clock = Clock()
    clock.audio_s, clock.steps = 100.0, 4
    clock.begun -= 10
    clock.waited_s, clock.paused_s = 2.0, 5.0
    rates = clock.read()
    assert rates["x_real_time"] == pytest.approx(20, rel=1e-2)
    assert rates["data_wait"] == pytest.approx(0.4, rel=1e-2)
    assert rates["step_s"] == pytest.approx(1.25, rel=1e-2)
    assert clock.steps == 0


def test_the_progress_line_says_what_a_person_asks():
    row = {
        "step": 50, "loss": 3.5, "masked_acc": 0.125, "lr": 1e-3, "grad_norm": 0.5, "skipped": 0.0,
        "x_real_time": 150.4, "data_wait": 0.012, "step_s": 0.5,
    }  # fmt: skip
    assert progress_line(row, 200) == (
        "step 50/200  loss 3.500  masked_acc 12.5 %  lr 1.0e-03  grad 0.50  150 x real time  "
        "data wait 1.2 %  ETA 1m15s"
    )
    assert "SKIPPED 50 %" in progress_line({**row, "skipped": 0.5}, 200)
    assert duration(7260) == "2h01m"


def test_curves_are_png_files(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl", 0)
    for step in (1, 2):
        metrics.add({"split": "train", "step": step, "loss": 3.0, "masked_acc": 0.1})
    metrics.add(
        {"split": "valid", "step": 2, "loss": 3.0, "masked_acc": 0.1, "majority_share": 0.02}
    )
    drawn = draw_curves(metrics.path, tmp_path / "plots")
    assert [path.name for path in drawn] == ["loss.png", "accuracy.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
