"""What the reporter writes, and what it forgets when a run turns back."""

import json

import pytest
import torch
from tiny_training import tiny_config

from espnet2.nn.loss_output import FrameOutcome, LossOutput
from espnet2.train.distributed import World
from espnet2.train.metrics import read_metrics
from espnet2.train.reporter import Reporter

ALONE, LANGUAGES = World(), ("deu", "eng", "swa")


def output(loss=2.0, has_frames=True):
    labels = torch.arange(8).view(2, 4)
    frames = FrameOutcome(
        labels=labels, predictions=labels.clamp(max=3), loss=torch.full((2, 4), loss),
        is_masked=torch.ones(2, 4, dtype=torch.bool),
    )  # fmt: skip
    return LossOutput(
        loss_sum=torch.tensor(8 * loss), weight=torch.tensor(8.0),
        counts={"masked_acc": (torch.tensor(4.0), torch.tensor(8.0))},
        frames=frames if has_frames else None,
    )  # fmt: skip


BATCH = {
    "speech_lengths": torch.tensor([16_000, 16_000]),
    "languages": torch.tensor([[0] * 4, [1] * 4], dtype=torch.int16),
}


def reporter_of(folder, resumed_step=0, flops=None, **config):
    config = tiny_config(log_interval_steps=2, **config)
    return Reporter(
        folder, config, ALONE, resumed_step, {"majority_share": 0.1},
        flops=flops, languages=LANGUAGES,
    )  # fmt: skip


def make_steps(reporter, first, last, loss=2.0, force_at=()):
    rows = []
    for step in range(first, last + 1):
        reporter.add(output(loss), BATCH)
        reporter.add_step(torch.tensor(1.5), torch.tensor(0.0), 0.01)
        rows.append(reporter.report_if_due(step, force=step in force_at))
    return [row for row in rows if row is not None]


def heard(folder):
    return [json.loads(line) for line in (folder / "languages.jsonl").open()]


def test_a_row_says_how_the_interval_went(tmp_path):
    reporter = reporter_of(tmp_path, flops=lambda batch: 1e9)
    reporter.clock.peak_flops_s = 1e15
    (row,) = make_steps(reporter, 1, 2)
    assert (row["split"], row["step"], row["lr"]) == ("train", 2, 0.01)
    assert (row["loss"], row["masked_acc"], row["grad_norm"], row["skipped"]) == (2.0, 0.5, 1.5, 0)
    assert row["label_entropy"] == pytest.approx(3.0)  # eight labels, each as often
    assert row["prediction_entropy"] == pytest.approx(1.5488, abs=1e-4)  # 1/8, 1/8, 1/8, 5/8
    assert row["clusters_used"] == 4
    assert row["mfu"] * row["step_s"] == pytest.approx(1e-6)
    assert row["x_real_time"] * row["step_s"] == pytest.approx(2.0)
    assert row["memory_gib"] > 0.05
    assert "communication" not in row
    assert read_metrics(tmp_path / "metrics.jsonl") == [row]


def test_a_report_is_due_at_the_interval_at_the_end_and_when_forced(tmp_path):
    reporter = reporter_of(tmp_path, max_steps=7)
    rows = make_steps(reporter, 1, 7, force_at=(3,))
    assert [row["step"] for row in rows] == [2, 3, 4, 6, 7]


def test_languages_are_complete_at_every_checkpoint(tmp_path):
    reporter = reporter_of(tmp_path, max_steps=7)
    make_steps(reporter, 1, 7, force_at=(3, 6))
    frames = [round(row["languages"]["deu"][0] * 180_000, 0) for row in heard(tmp_path)]
    assert [row["step"] for row in heard(tmp_path)] == [3, 6, 7]
    assert frames == pytest.approx([12, 12, 4], abs=2)  # hours are rounded to 36 ms
    assert heard(tmp_path)[0]["languages"].keys() == {"deu", "eng"}
    assert heard(tmp_path)[0]["languages"]["eng"][1:] == [2.0, 0.0]


def test_what_was_made_after_the_checkpoint_is_forgotten_when_the_run_turns_back(tmp_path):
    straight, turned = tmp_path / "straight", tmp_path / "turned"
    first = reporter_of(straight)
    rows = make_steps(first, 1, 8, force_at=(3, 6))
    second = reporter_of(turned)
    make_steps(second, 1, 3, force_at=(3,))
    make_steps(second, 4, 7, loss=9.0, force_at=(6,))
    second.rewind(3)
    assert (second.clock.steps, second.clock.audio_s) == (0, 0.0)
    again = make_steps(second, 4, 8, force_at=(6,))
    assert heard(turned) == heard(straight)
    assert [row["loss"] for row in again] == [2.0] * 3
    kept = read_metrics(turned / "metrics.jsonl")
    assert [(row["step"], row["loss"]) for row in kept] == [(r["step"], 2.0) for r in rows]
    assert second.step == first.step == 8


def test_a_resumed_run_has_the_rows_and_languages_of_one_that_never_stopped(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    make_steps(reporter_of(whole), 1, 8, force_at=(3, 6))
    make_steps(reporter_of(parts), 1, 5, force_at=(3, 5))  # killed: 5 was not saved to the end
    make_steps(reporter_of(parts, resumed_step=3), 4, 8, force_at=(6,))
    assert heard(parts) == heard(whole)
    steps = [[row["step"] for row in read_metrics(f / "metrics.jsonl")] for f in (whole, parts)]
    assert steps == [[2, 3, 4, 6, 8]] * 2


def test_every_line_is_in_the_log_with_its_time(tmp_path):
    reporter = reporter_of(tmp_path)
    make_steps(reporter, 1, 2)
    reporter.say("something else")
    reporter.report_validation(2, {"loss": 2.0, "masked_acc": 0.4})
    lines = (tmp_path / "train.log").read_text().splitlines()
    assert [line[20:].split("  ")[0] for line in lines] == [
        "step 2/12", "something else", "valid at step 2",
    ]  # fmt: skip
    assert lines[2].endswith("loss 2.000  majority_share 10.0 %  masked_acc 40.0 %")
    assert lines[0][:2] == "20"


def test_an_alarm_stays_even_when_its_steps_do_not(tmp_path, capfd):
    reporter = reporter_of(tmp_path, max_steps=4)
    make_steps(reporter, 1, 3)
    reporter.alarm("the loss is\n7 times what it was")
    reporter.rewind(2)
    resumed = reporter_of(tmp_path, resumed_step=2, max_steps=4)
    resumed.alarm("predictions have collapsed")
    line = "ALARM at step 3: the loss is 7 times what it was"
    assert line in capfd.readouterr().err
    assert line in (tmp_path / "train.log").read_text()
    head, *rows = [line.split("\t") for line in (tmp_path / "alarms.tsv").open()]
    assert head == ["step", "time", "alarm\n"]
    assert [(row[0], row[2]) for row in rows] == [
        ("3", "the loss is 7 times what it was\n"), ("2", "predictions have collapsed\n"),
    ]  # fmt: skip
    make_steps(resumed, 3, 4)
    assert resumed.finish(4)["alarms"] == 2
    assert json.loads((tmp_path / "summary.json").read_text())["alarms"] == 2


def test_validation_is_compared_with_the_majority_class_and_drawn(tmp_path):
    reporter = reporter_of(tmp_path)
    make_steps(reporter, 1, 3, force_at=(3,))
    row = reporter.report_validation(3, {"loss": 2.0, "masked_acc": 0.4})
    assert row["times_majority"] == pytest.approx(4.0)
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert {"loss.png", "accuracy.png", "entropy.png", "languages.png"} <= names
    assert (
        (tmp_path / "languages.tsv")
        .read_text()
        .startswith("language\thours\tmasked_loss\tmasked_acc\ndeu\t0.0000")
    )


def test_old_curves_are_drawn_again_at_a_report_and_the_time_is_not_counted(tmp_path):
    reporter = reporter_of(tmp_path)
    make_steps(reporter, 1, 2)
    assert not (tmp_path / "plots").exists()
    reporter.drawn_at -= 601
    make_steps(reporter, 3, 4)
    drawn = (tmp_path / "plots/loss.png").stat()
    assert reporter.clock.paused_s > 0.02
    make_steps(reporter, 5, 6)
    assert (tmp_path / "plots/loss.png").stat().st_ino == drawn.st_ino


def test_a_model_without_frames_has_neither_entropies_nor_languages(tmp_path):
    reporter = reporter_of(tmp_path, max_steps=2)
    for step in (1, 2):
        reporter.add(output(has_frames=False), BATCH)
        reporter.add_step(torch.tensor(1.5), torch.tensor(0.0), 0.01)
        row = reporter.report_if_due(step)
    assert "label_entropy" not in row
    reporter.finish(2)
    assert not (tmp_path / "languages.tsv").exists()


def test_a_loss_that_is_not_finite_counts_as_nothing(tmp_path):
    reporter = reporter_of(tmp_path, max_steps=2)
    bad = output(torch.nan)
    bad.counts["masked_loss"] = (torch.tensor(torch.nan), torch.tensor(8.0))
    reporter.add(bad, BATCH)
    good = output(2.0)
    good.counts["masked_loss"] = (torch.tensor(24.0), torch.tensor(8.0))
    reporter.add(good, BATCH)
    reporter.add_step(torch.tensor(1.5), torch.tensor(0.0), 0.01)
    row = reporter.report_if_due(2)
    assert (row["loss"], row["masked_loss"], row["masked_acc"]) == (2.0, 3.0, 0.5)
    assert heard(tmp_path)[0]["languages"]["deu"][1] == 2.0
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()


def test_batches_may_name_languages_that_nobody_asked_about(tmp_path):
    reporter = Reporter(tmp_path, tiny_config(max_steps=2), ALONE, 0, {})
    make_steps(reporter, 1, 2)
    assert heard(tmp_path) == []


def test_the_summary_holds_the_last_rows(tmp_path):
    reporter = reporter_of(tmp_path, max_steps=4)
    (_, last) = make_steps(reporter, 1, 4)
    valid = reporter.report_validation(4, {"loss": 2.0, "masked_acc": 0.4})
    summary = reporter.finish(4)
    assert (summary["is_complete"], summary["step"], summary["ranks"]) == (True, 4, 1)
    assert (summary["train"], summary["valid"]) == (last, valid)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
