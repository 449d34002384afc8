"""How each language fares: ``languages.jsonl``, a row a checkpoint, and ``languages.tsv``.

The model has heard of a language what the rows up to its step add up to: the files go back with it
when a run resumes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espnet2.data.frames import HOP_SAMPLES, SAMPLE_RATE_HZ
from espnet2.data.tsv import write_rows
from espnet2.train.metrics import MetricsFile

FRAMES_PER_HOUR = 3600 * SAMPLE_RATE_HZ / HOP_SAMPLES
COLUMNS = ("language", "hours", "masked_loss", "masked_acc")

# Hours heard, loss and accuracy of masked frames; None where no frame was masked.
Heard = tuple[float, float | None, float | None]


class LanguageFiles:
    """What one rank writes for all."""

    def __init__(self, exp_dir: Path, names: Sequence[str], resumed_step: int) -> None:
        self.names, self.table = names, exp_dir / "languages.tsv"
        self.total: dict[str, Heard] = {}  # hours of all rows, last known loss and accuracy
        self.file = MetricsFile(exp_dir / "languages.jsonl", resumed_step, self.add_up)

    def rewind(self, step: int) -> None:
        """Go back to what had been heard at ``step``."""
        self.total = {}
        self.file.rewind(step, self.add_up)

    def add(self, step: int, sums: Sequence[Sequence[float]]) -> None:
        """A row with the languages heard since the last one; sums as ``LanguageMeter.read``."""
        heard = {
            self.names[code]: rounded(*values)
            for code, values in enumerate(zip(*sums, strict=True))
            if values[3]
        }
        row = {"step": step, "languages": heard}
        self.file.add(row)
        self.add_up(row)

    def add_up(self, row: dict[str, Any]) -> None:
        """Add what was heard in an interval to the total."""
        for name, (hours, loss, acc) in row["languages"].items():
            before, old_loss, old_acc = self.total.get(name, (0.0, None, None))
            if loss is None:
                loss, acc = old_loss, old_acc
            self.total[name] = (before + hours, loss, acc)

    def write_table(self) -> Path:
        """Refresh ``languages.tsv``: hours so far, last loss and accuracy, most hours first."""
        rows = sorted(self.total.items(), key=lambda item: (-item[1][0], item[0]))
        texts = ((name, f"{hours:.5f}", text(loss), text(acc)) for name, (hours, loss, acc) in rows)
        write_rows(self.table, COLUMNS, texts, durable=False)
        return self.table


def rounded(loss_sum: float, right: float, masked: float, frames: float) -> Heard:
    """Sums as hours, loss and accuracy, in no more digits than they are worth."""
    hours = round(frames / FRAMES_PER_HOUR, 5)
    if not masked:
        return hours, None, None
    return hours, round(loss_sum / masked, 3), round(right / masked, 4)


def text(figure: float | None) -> str:
    """A figure for a table; empty where it is not known."""
    return "" if figure is None else f"{figure:g}"
