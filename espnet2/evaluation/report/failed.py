"""Cells without a score: a section that names them, and marks beside the figures they lack."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet2.asr.config import task_kind
from espnet2.evaluation.cells import parse_cell
from espnet2.evaluation.golden import TASKS
from espnet2.evaluation.report.blocks import Block, Section, Table, Text, section

Group = tuple[str, str, str]  # encoder, kind of task, track


@dataclass(frozen=True, kw_only=True)
class FailedCell:
    """A cell of the matrix without a score."""

    name: str
    """encoder/task_track_lr_seed"""

    reason: str

    @property
    def group(self) -> Group:
        """The row of the results it belongs to."""
        cell = parse_cell(Path(self.name))
        return cell.encoder, task_kind(cell.task), cell.track


def failed_cells(scores: dict[str, Any]) -> list[FailedCell]:
    """The cells without a score, by name."""
    found = [FailedCell(name=one["cell"], reason=one["reason"]) for one in scores.get("failed", [])]
    return sorted(found, key=lambda cell: cell.name)


def failed_section(failed: list[FailedCell]) -> Section:
    """Names and reasons; nothing where every cell has its score."""
    if not failed:
        return section("failed", [])
    text = (
        "These cells were not trained or not scored; the others went on without them. Where a row "
        "of results misses some of its cells, it says how many. The stage's command runs them "
        "again, and only them."
    )
    table = Table(
        caption=f"Cells without a score: {len(failed)}",
        columns=["cell", "reason"],
        rows=[[cell.name, cell.reason] for cell in failed],
        text_columns=frozenset({1}),
    )
    blocks: list[Block] = [Text(text=text, is_warning=True), table]
    return section("failed", blocks)


def failed_notes(scores: dict[str, Any]) -> dict[Group, str]:
    """Row of the results -> ``2 of 3 cells have no score``, for rows that miss some."""
    missing = Counter(cell.group for cell in failed_cells(scores))
    there = Counter(group_of(cell) for cell in scores["cells"])
    return {
        group: f"({count} of {count + there[group]} cells have no score)"
        for group, count in missing.items()
    }


def group_of(cell: dict[str, Any]) -> Group:
    """The row of the results a scored cell belongs to."""
    return cell["encoder"], task_kind(cell["task"]), cell["track"]


def table_marks(
    notes: dict[Group, str], mono_marks: dict[tuple[str, str], str]
) -> dict[tuple[str, str, str], str]:
    """What stands beside figures of the paper's table: failures, and what mono was scored on.

    mono_marks: (track, encoder) -> how its monolingual figure differs from the benchmark's.
    """
    marks = {(*group, "mono_cer"): mark for group, mark in mono_marks.items()}
    for (encoder, task, track), note in notes.items():
        for metric in TASKS[task]:
            mark = marks.get((track, encoder, metric), "")
            marks[track, encoder, metric] = f"{mark} {note}".strip()
    return marks
