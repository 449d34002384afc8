"""Results of a benchmark as Markdown, with what they were measured on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from espnet2.utils.files import write_text


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of results; every cell is text as a person reads it."""

    title: str
    """What was compared, without a full stop."""

    columns: tuple[str, ...]
    """Heads of the columns."""

    rows: tuple[tuple[str, ...], ...]
    """Cells, as many a row as there are columns."""

    notes: tuple[str, ...] = ()
    """Sentences below the table: what was built, what a figure leaves out."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.title!r}: a row must have {len(self.columns)} cells, got {row}"
                )


def markdown(table: Table) -> str:
    """The table as Markdown under a heading of its own, without a newline at the end."""
    lines = [
        f"### {table.title}",
        "",
        line(table.columns),
        line(["---"] * len(table.columns)),
        *map(line, table.rows),
    ]
    if table.notes:
        lines += ["", *(f"- {note}" for note in table.notes)]
    return "\n".join(lines)


def line(cells: Sequence[str]) -> str:
    """One row of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def entry(tables: Sequence[Table], command: str, facts: dict[str, str]) -> str:
    """One run of the benchmark: when, of which commit, on what machine, and its tables."""
    head = [
        f"## {facts['time']}",
        "",
        f"- command: `{command}`",
        f"- commit: {facts['commit']}",
        f"- hardware: {facts['hardware']}; {gpu()}",
        f"- software: Python {facts['python']}, torch {torch.__version__}",
    ]
    return "\n\n".join(["\n".join(head), *map(markdown, tables)]) + "\n"


def gpu() -> str:
    """The GPU that would be used, with its memory, or "no GPU"."""
    if not torch.cuda.is_available():
        return "no GPU"
    memory_gib = torch.cuda.get_device_properties(0).total_memory / 2**30
    return f"{torch.cuda.get_device_name(0)}, {memory_gib:.0f} GiB"


def append(text: str, path: Path) -> None:
    """Add ``text`` (an ``entry``) to the end of a Markdown file; never half of it."""
    before = path.read_text(encoding="utf-8").rstrip() + "\n\n" if path.is_file() else ""
    write_text(path, before + text)
