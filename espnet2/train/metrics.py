"""What a run tells about itself: sums on the device, ``metrics.jsonl``, one progress line."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from espnet2.train.distributed import World
from espnet2.utils.files import write_text


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
    """``metrics.jsonl``: one JSON object a line, only ever added to."""

    def __init__(self, path: Path, resumed_step: int) -> None:
        """Open the file; rows after ``resumed_step`` will be made again, so they go."""
        self.path = path
        rows = [row for row in read_metrics(path) if row["step"] <= resumed_step]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows))

    def add(self, row: dict[str, Any]) -> None:
        """Append one row."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Rows of a metrics file; a last line that was cut by a crash is left out."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            rows.append(json.loads(line))
    return rows


class Clock:
    """Wall time of an interval, split into computing and waiting for data.

    ``exposed_s``: seconds of communication since its last call that computing did not hide
    (``Parallel.exposed_s``); asked once an interval. None leaves communication out.
    """

    exposed_s: Callable[[], float] | None = None

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.audio_s = self.waited_s = self.paused_s = 0.0
        self.steps = 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time that the body takes (validation, plots)."""
        start = time.perf_counter()
        yield
        self.paused_s += time.perf_counter() - start

    def waiting(self, batches: Iterator[Any]) -> Iterator[Any]:
        """``batches``, with the time it takes to get each one noted."""
        batches = iter(batches)
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.waited_s += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def read(self) -> dict[str, float]:
        """Rates since the last call."""
        wall_s = max(time.perf_counter() - self.begun - self.paused_s, 1e-9)
        rates = {
            "x_real_time": self.audio_s / wall_s,
            "data_wait": self.waited_s / wall_s,
            "step_s": wall_s / max(self.steps, 1),
        }
        self.__init__()
        return rates


def progress_line(row: dict[str, Any], max_steps: int) -> str:
    """The row of an interval as one line for a person."""
    parts = [f"step {row['step']}/{max_steps}", f"loss {row['loss']:.3f}"]
    parts += [f"{name} {100 * row[name]:.1f} %" for name in sorted(row) if name.endswith("acc")]
    parts += [f"lr {row['lr']:.1e}", f"grad {row['grad_norm']:.2f}"]
    if row["x_real_time"]:
        parts.append(f"{row['x_real_time']:.0f} x real time")
    parts.append(f"data wait {100 * row['data_wait']:.1f} %")
    if row.get("skipped"):
        parts.append(f"SKIPPED {100 * row['skipped']:.0f} % (not finite)")
    parts.append(f"ETA {duration((max_steps - row['step']) * row['step_s'])}")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """``75`` -> ``1m15s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
