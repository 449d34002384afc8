"""Pictures are drawn from the files of a run, and of what they hold."""

import struct

import pytest

from espnet2.train.metrics import MetricsFile
from espnet2.train.plots import draw_curves, draw_languages

GPU_ROW = {
    "split": "train", "loss": 3.0, "masked_acc": 0.1, "lr": 1e-3, "grad_norm": 4.0,
    "label_entropy": 9.0, "prediction_entropy": 8.0, "x_real_time": 9e3, "mfu": 0.4,
    "data_wait": 0.01, "communication": 0.02,
}  # fmt: skip


def size_of_png(path):
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    return struct.unpack(">II", data[16:24])


def test_there_is_a_picture_for_each_kind_of_figure(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl", 0)
    for step in (1, 2):
        metrics.add(GPU_ROW | {"step": step})
    metrics.add({"split": "valid", "step": 2, "loss": 3.0, "majority_share": 0.02})
    drawn = draw_curves(metrics.path, tmp_path / "plots")
    assert [path.name for path in drawn] == [
        "loss.png", "accuracy.png", "lr.png", "gradient.png", "entropy.png", "speed.png",
    ]  # fmt: skip
    assert [size_of_png(path) for path in drawn] == [(700, 400)] * 5 + [(700, 700)]
    assert sorted(drawn) == sorted((tmp_path / "plots").iterdir())


def test_what_was_not_measured_has_no_picture(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl", 0)
    metrics.add({"split": "train", "step": 1, "loss": 3.0, "x_real_time": 5.0})
    drawn = draw_curves(metrics.path, tmp_path / "plots")
    assert [path.name for path in drawn] == ["loss.png", "speed.png"]
    assert size_of_png(drawn[1]) == (700, 400)


def test_a_run_without_rows_has_no_pictures(tmp_path):
    assert draw_curves(MetricsFile(tmp_path / "metrics.jsonl", 0).path, tmp_path / "plots") == []


@pytest.mark.parametrize("count", [1, 400])
def test_languages_are_dots_over_their_hours(tmp_path, count):
    table = tmp_path / "languages.tsv"
    lines = [f"l{i}\t{0.5 * i + 0.01}\t{i % 7}.5\t0.1" for i in range(count)]
    head = "language\thours\tmasked_loss\tmasked_acc"
    table.write_text("\n".join([head, *lines, "never\t0.5\t\t", ""]))
    assert size_of_png(draw_languages(table, tmp_path / "languages.png")) == (700, 400)
