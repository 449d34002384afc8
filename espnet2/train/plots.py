"""Curves of a run as PNG files, drawn from ``metrics.jsonl`` alone."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from espnet2.train.metrics import read_metrics
from espnet2.utils.files import atomic_path


def draw_curves(metrics: Path, folder: Path) -> list[Path]:
    """Draw ``loss.png`` and, where there are accuracies, ``accuracy.png``; returns their paths."""
    rows = read_metrics(metrics)
    names = sorted({name for row in rows for name in row if name.endswith("acc")})
    drawn = [draw(rows, ["loss"], "loss", folder / "loss.png")]
    if names:
        names += [name for name in ("majority_share",) if any(name in row for row in rows)]
        drawn.append(draw(rows, names, "share of frames", folder / "accuracy.png"))
    return drawn


def draw(rows: list[dict[str, Any]], names: list[str], label: str, path: Path) -> Path:
    """One figure: each name over steps, training as a line, validation with dots."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel=label)
    for i, name in enumerate(names):
        for split, style in (("train", "-"), ("valid", "o--")):
            points = [(r["step"], r[name]) for r in rows if r["split"] == split and name in r]
            if points:
                axes.plot(*zip(*points, strict=True), style, color=f"C{i}", markersize=3,
                          linewidth=1, label=f"{name} ({split})")  # fmt: skip
    if axes.lines:
        axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    with atomic_path(path) as part:
        figure.savefig(part, dpi=100, format="png")
    return path
