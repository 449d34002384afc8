"""What a run tells about itself: sums on the device, and files of one JSON row a line."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from espnet2.train.distributed import World
from espnet2.utils.errors import DataError

Visit = Callable[[dict[str, Any]], object]  # looks at a row


class Meters:
    """Ratios whose numerators and denominators add up on the device until somebody reads them."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}  # name -> (2,) float64: numerator, denominator

    def add(self, name: str, numerator: Tensor, denominator: Tensor) -> None:
        """Add one observation; nothing is copied to the host."""
        pair = torch.stack([numerator.detach().double(), denominator.detach().double()])
        self.sums[name] = self.sums[name] + pair if name in self.sums else pair

    def read(self, world: World) -> dict[str, float]:
        """Every ratio over all ranks, then start again from zero. The one copy to the host."""
        if not self.sums:
            return {}
        names = sorted(self.sums)
        table = world.sum(torch.stack([self.sums[name] for name in names])).tolist()
        self.sums = {}
        return {
            name: top / bottom for name, (top, bottom) in zip(names, table, strict=True) if bottom
        }


class MetricsFile:
    """``metrics.jsonl`` and its like: one JSON object with a ``step`` a line, in order of steps."""

    def __init__(self, path: Path, resumed_step: int, visit: Visit = bool) -> None:
        """Open the file, as it was at ``resumed_step``; ``visit`` is shown every row of it."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        self.rewind(resumed_step, visit)

    def rewind(self, step: int, visit: Visit = bool) -> None:
        """Cut off the rows after ``step``, which will be made again, and a last cut line."""
        kept = 0
        for row, size in rows_of(self.path):
            if row["step"] > step:
                break
            visit(row)
            kept += size
        os.truncate(self.path, kept)

    def add(self, row: dict[str, Any]) -> None:
        """Append one row."""
        append(self.path, json.dumps(row) + "\n")

    def close(self) -> None:
        """Nothing is open between rows."""


def append(path: Path, text: str) -> None:
    """Add to a text file; a full disk says which file it was."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Rows of a metrics file; a last line that was cut by a crash is left out."""
    return [row for row, _ in rows_of(path)] if path.is_file() else []


def rows_of(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Each whole row and the bytes of its line.

    Raises:
        DataError: a line in the file is damaged.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line), len(line)
            except ValueError:
                raise DataError(f"{path}:{number} is damaged: mend or delete that line") from None
