"""Section about cost: seconds of stages, seconds and GPU-hours of cells."""

import statistics
from typing import Any

from espnet2.asr.config import task_kind
from espnet2.evaluation.cost import gpu_count, step_seconds
from espnet2.evaluation.report.blocks import (
    Block,
    Details,
    Figure,
    Figures,
    Section,
    Table,
    Text,
    section,
)
from espnet2.evaluation.report.figures import bars, number
from espnet2.evaluation.report.inputs import ReportInputs, StageTime, cell_name
from espnet2.evaluation.report.rows import TASK_ORDER
from espnet2.evaluation.report.svg import SERIES

Cell = dict[str, Any]
Group = tuple[str, str, str]  # encoder, kind of task, track


def cost_section(inputs: ReportInputs, provenance: dict[str, str]) -> Section:
    """Hardware, stages, cells; what was not recorded is left out."""
    hardware = ", ".join(provenance[name] for name in ("hardware", "gpu") if name in provenance)
    blocks: list[Block] = [Text(text=f"This page was made on: {hardware}.")]
    blocks += pretraining_cost(inputs)
    if inputs.stage_times:
        blocks.append(Figures(figures=stage_figures(inputs.stage_times)))
    costly = [cell for cell in inputs.scores["cells"] if seconds_of(cell) is not None]
    if costly:
        each = cell_table(costly)
        blocks += [group_table(costly), Details(summary=f"Table: {each.caption}", blocks=[each])]
    return section("cost", blocks)


def pretraining_cost(inputs: ReportInputs) -> list[Block]:
    """Hours of the pre-training's steps, and of its GPUs; nothing without one."""
    seconds, steps = step_seconds(inputs.pretraining)
    if not seconds:
        return []
    gpus = inputs.ssl_about.get("gpu", "")
    device = gpus or inputs.ssl_about.get("hardware", "unknown hardware")
    text = f"Pre-training: {steps:,} steps in {number(seconds / 3600)} h on {device}"
    count = gpu_count(gpus)
    text += f", {number(seconds * count / 3600)} GPU-hours." if count else "."
    return [Text(text=text)]


def stage_figures(times: list[StageTime]) -> list[Figure | Table]:
    """Seconds by stage, drawn and in numbers."""
    values = {f"{t.stage} {t.name}": t.seconds for t in times}
    total = sum(values.values())
    alt = "Seconds by stage: " + ", ".join(f"{k} {number(v)}" for k, v in values.items())
    svg = bars("cost", alt, values, "seconds", SERIES[0])
    title = f"Wall time by stage: {total / 60:.1f} min in all, without this report"
    rows = [
        [str(t.stage), t.name, f"{t.seconds:.0f}", f"{100 * t.seconds / max(total, 1e-9):.0f} %"]
        for t in times
    ]
    table = Table(
        caption="Wall time by stage",
        columns=["stage", "name", "seconds", "share"],
        rows=[*rows, ["", "total", f"{total:.0f}", ""]],
        text_columns=frozenset({1}),
    )
    return [Figure(svg=svg, title=title), table]


def seconds_of(cell: Cell) -> float | None:
    """Wall time of one cell's training."""
    return (cell.get("cost") or {}).get("seconds")


def gpu_hours_of(cells: list[Cell]) -> str:
    """GPU-hours of several cells; a dash where none used a GPU."""
    hours = [(cell.get("cost") or {}).get("gpu_hours") for cell in cells]
    known = [value for value in hours if value]
    return f"{sum(known):.2f}" if known else "–"


def devices_of(cells: list[Cell]) -> str:
    """The devices of several cells."""
    return ", ".join(sorted({str(cell["cost"].get("device", "")) for cell in cells} - {""}))


def group_table(cells: list[Cell]) -> Table:
    """What an encoder and task cost, all learning rates and seeds."""
    groups: dict[Group, list[Cell]] = {}
    for cell in cells:
        key = (cell["encoder"], task_kind(cell["task"]), cell["track"])
        groups.setdefault(key, []).append(cell)
    order = sorted(groups, key=lambda key: (key[0], TASK_ORDER.index(key[1]), key[2]))
    rows = [cost_row(" ".join(key), groups[key]) for key in order]
    return Table(
        caption="Training of the cells",
        columns=["cells", "number", "seconds a cell", "hours in all", "GPU-hours", "device"],
        rows=[*rows, cost_row("all", cells)],
        text_columns=frozenset({5}),
        marked=frozenset({len(rows)}),
        note="Training alone, every learning rate and seed; seconds a cell: the median.",
    )


def cost_row(name: str, cells: list[Cell]) -> list[str]:
    """One line of ``group_table``."""
    seconds = [cell["cost"]["seconds"] for cell in cells]
    return [
        name, str(len(cells)), number(statistics.median(seconds)), number(sum(seconds) / 3600),
        gpu_hours_of(cells), devices_of(cells),
    ]  # fmt: skip


def cell_table(cells: list[Cell]) -> Table:
    """Every cell, the longest first."""
    ranked = sorted(cells, key=lambda cell: (-cell["cost"]["seconds"], cell_name(cell)))
    return Table(
        caption="Cost of every cell",
        columns=["cell", "seconds", "GPU-hours", "device"],
        rows=[
            [cell_name(c), number(c["cost"]["seconds"]), gpu_hours_of([c]), devices_of([c])]
            for c in ranked
        ],
        text_columns=frozenset({3}),
    )
