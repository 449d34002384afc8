"""The plots of ``dynamics.md``.

Shapes: C checkpoints, L layers.
"""

from pathlib import Path
from typing import Any

import numpy as np

from espnet2.tokens.quality.plots import new_figure, save
from espnet2.train.dynamics.checkpoints import part_order

MAX_TICKS = 12
PURITY = {
    "visible_acc": "the label itself", "matched": "clusters paired", "nmi": "NMI with labels",
}  # fmt: skip
PHONES = {"pnmi": "PNMI of phones", "phone_purity": "phone purity"}


def draw_all(out: Path, found: dict[str, Any]) -> None:
    """Write the PNG files of what ``report.write_report`` takes."""
    rows = found["checkpoints"]
    draw_accuracy(out / "accuracy.png", rows)
    draw_purity(out / "purity.png", rows, found["labels"])
    ends = [row for row in rows if "previous" in row]
    step = found["reference"]
    draw_heat(out / "cka_final.png", rows, "reference", f"CKA with the same block at step {step:,}")
    draw_heat(out / "cka_previous.png", ends, "previous", "CKA with the checkpoint before")
    draw_weights(out / "weights.png", ends)
    draw_layers(out / "cka_layers.png", found["layers"])


def numbers(values: list[float | None]) -> np.ndarray:
    """Values as numbers; NaN, which is not drawn, where there is none."""
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def draw_curves(axes: Any, rows: list[dict[str, Any]], curves: dict[str, list]) -> None:
    """Lines over steps, with dots where checkpoints are."""
    steps = [row["step"] for row in rows]
    for name, values in curves.items():
        axes.plot(steps, numbers(values), "o-", markersize=3, linewidth=1, label=name)
    axes.set(xlabel="step")
    axes.grid(alpha=0.3)


def finish_shares(axes: Any) -> None:
    """Begin at 0, now that everything is drawn, and name the curves."""
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small")


def draw_accuracy(path: Path, rows: list[dict[str, Any]]) -> None:
    """Masked accuracy and loss, the majority share beside it."""
    figure = new_figure(12, 4)
    left, right = figure.subplots(1, 2)
    names = {"masked_acc": "masked accuracy", "majority_share": "majority share"}
    draw_curves(left, rows, {names[key]: [row[key] for row in rows] for key in names})
    finish_shares(left)
    left.set(ylabel="share of masked frames")
    draw_curves(right, rows, {"masked loss": [row["masked_loss"] for row in rows]})
    right.set(ylabel="nats a masked frame")
    save(figure, path)


def draw_purity(path: Path, rows: list[dict[str, Any]], labels: dict[str, Any] | None) -> None:
    """Predictions against the training labels, and against phones beside those labels."""
    figure = new_figure(12 if labels else 6, 4)
    axes = figure.subplots(1, 2 if labels else 1, squeeze=False)[0]
    draw_curves(axes[0], rows, {PURITY[key]: [row[key] for row in rows] for key in PURITY})
    axes[0].set(title="predictions on visible input and labels")
    finish_shares(axes[0])
    if labels:
        curves = {PHONES[key]: [row["phones"][key] for row in rows] for key in PHONES}
        draw_curves(axes[1], rows, curves)
        for number, (key, name) in enumerate(PHONES.items()):
            axes[1].axhline(labels[key] or 0, color=f"C{number}", linestyle="--", linewidth=1,
                            label=f"{name}, training labels")  # fmt: skip
        axes[1].set(title="predictions and phones")
        finish_shares(axes[1])
    save(figure, path)


def draw_heat(path: Path, rows: list[dict[str, Any]], kind: str, title: str) -> None:
    """CKA as a map: blocks from bottom to top, checkpoints from left to right."""
    figure = new_figure(9, 4)
    axes = figure.subplots()
    if rows:
        table = np.array([numbers(row[kind]["cka"]) for row in rows]).T  # (L, C)
        image = axes.imshow(table, aspect="auto", origin="lower", vmin=0, vmax=1)
        figure.colorbar(image, ax=axes, label="CKA")
        places = range(0, len(rows), -(-len(rows) // MAX_TICKS))
        axes.set_xticks(places, [f"{rows[place]['step']:,}" for place in places], rotation=45)
        block_ticks(axes.yaxis, len(table))
    axes.set(title=title, xlabel="step", ylabel="block")
    save(figure, path)


def draw_weights(path: Path, rows: list[dict[str, Any]]) -> None:
    """How far each part's weights moved since the checkpoint before; blocks by their depth."""
    figure = new_figure(9, 4)
    from matplotlib import colormaps  # there, since there is a figure

    axes = figure.subplots()
    parts = sorted(rows[0]["previous"]["weight_change"], key=part_order) if rows else []
    blocks = sum(part.startswith("block ") for part in parts)
    for number, part in enumerate(parts):
        is_block = number < blocks  # blocks come first
        axes.plot(
            [row["step"] for row in rows],
            numbers([row["previous"]["weight_change"].get(part) for row in rows]),
            "o-" if is_block else "--", markersize=3, linewidth=1, label=part,
            color=colormaps["viridis"](number / blocks) if is_block else f"C{number - blocks}",
        )  # fmt: skip
    if parts:
        axes.set_ylim(bottom=0)
        axes.legend(fontsize="x-small", ncols=2)
    axes.grid(alpha=0.3)
    axes.set(xlabel="step", ylabel="change over norm", title="weights since the checkpoint before")
    save(figure, path)


def draw_layers(path: Path, table: list[list[float | None]]) -> None:
    """CKA of each two blocks of the final model."""
    figure = new_figure(6, 5)
    axes = figure.subplots()
    image = axes.imshow(np.array([numbers(row) for row in table]), origin="lower", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="CKA")
    for axis in (axes.xaxis, axes.yaxis):
        block_ticks(axis, len(table))
    axes.set(title="CKA between blocks of the final model", xlabel="block", ylabel="block")
    save(figure, path)


def block_ticks(axis: Any, blocks: int) -> None:
    """Blocks counted from 1, all of them where they fit."""
    step = -(-blocks // MAX_TICKS)
    axis.set_ticks(range(0, blocks, step), [str(block + 1) for block in range(0, blocks, step)])
