"""Curves of a run as PNG files, drawn from the files it writes."""

import csv
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from espnet2.train.metrics import read_metrics
from espnet2.utils.files import atomic_path

Rows = list[dict[str, Any]]
Panel = tuple[str, list[str], str]  # label of the y axis, names of the figures, its scale
SPLITS = (("train", "-"), ("valid", "o--"))
MAX_NAMED = 100  # languages; more names cover each other


def draw_curves(metrics: Path, folder: Path) -> list[Path]:
    """Draw every curve that ``metrics`` has figures for; returns the paths of the pictures."""
    rows = read_metrics(metrics)
    known = {name for row in rows for name in row}
    accuracies = sorted(name for name in known if name.endswith("acc"))
    pictures: dict[str, list[Panel]] = {
        "loss": [("loss", ["loss"], "linear")],
        "accuracy": [("share of frames", [*accuracies, "majority_share"], "linear")],
        "lr": [("learning rate", ["lr"], "linear")],
        "gradient": [("gradient norm before clipping", ["grad_norm"], "log")],
        "entropy": [("bits", ["label_entropy", "prediction_entropy"], "linear")],
        "speed": [
            ("× real time", ["x_real_time"], "linear"),
            ("share", ["mfu", "data_wait", "communication"], "linear"),
        ],
    }
    drawn = []
    for name, panels in pictures.items():
        shown = [(label, [n for n in names if n in known], y) for label, names, y in panels]
        if shown := [panel for panel in shown if panel[1]]:
            drawn.append(draw(rows, shown, folder / f"{name}.png"))
    return drawn


def draw(rows: Rows, panels: list[Panel], path: Path) -> Path:
    """One picture of panels below each other, over steps."""
    figure = Figure(figsize=(7, 1 + 3 * len(panels)))
    for i, (label, names, scale) in enumerate(panels):
        axes = figure.add_subplot(len(panels), 1, i + 1, xlabel="step", ylabel=label, yscale=scale)
        draw_lines(axes, rows, names)
    return save(figure, path)


def draw_lines(axes: Axes, rows: Rows, names: list[str]) -> None:
    """Each name over steps, training as a line, validation with dots."""
    for i, name in enumerate(names):
        for split, style in SPLITS:
            points = [(r["step"], r[name]) for r in rows if r["split"] == split and name in r]
            if points:
                axes.plot(*zip(*points, strict=True), style, color=f"C{i}", markersize=3,
                          linewidth=1, label=f"{name} ({split})")  # fmt: skip
    if axes.lines:
        axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def draw_languages(table: Path, path: Path) -> Path:
    """``languages.tsv`` as a picture: last loss of each language over the hours heard of it."""
    with open(table, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["masked_loss"]]
    hours = [float(row["hours"]) for row in rows]
    losses = [float(row["masked_loss"]) for row in rows]
    figure = Figure(figsize=(7, 4))
    axes = figure.add_subplot(
        xlabel="hours heard", ylabel="loss of masked frames", xscale="log",
        title=f"{len(rows):,} languages",
    )  # fmt: skip
    axes.scatter(hours, losses, s=6, alpha=0.5, linewidths=0)
    if len(rows) <= MAX_NAMED:
        for row, x, y in zip(rows, hours, losses, strict=True):
            axes.annotate(row["language"], (x, y), fontsize=7, xytext=(3, 2),
                          textcoords="offset points")  # fmt: skip
    axes.grid(alpha=0.3)
    return save(figure, path)


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG: whoever looks sees the old picture or the new one."""
    # Fixed margins: a computed layout draws everything twice.
    figure.subplots_adjust(left=0.13, right=0.95, top=0.93, bottom=0.5 / figure.get_figheight())
    with atomic_path(path, durable=False) as part:
        figure.savefig(part, dpi=100, format="png", pil_kwargs={"compress_level": 1})
    return path
