"""Sort more lines than memory holds: sorted runs in temporary files, merged.

Python compares text by code point, which is the order of UTF-8 bytes, so what comes out is in the
order of ``LC_ALL=C sort``. Runs lie in TMPDIR; they need about the room of the lines themselves.
"""

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

RUN_CHARS = 2**26  # of one run in memory; Python objects around them cost about as much again
CHARS_A_LINE = 60  # what a string and its place in a list cost beside its characters
MAX_RUNS = 64  # merged at once; more are first merged into one


def sorted_lines(lines: Iterable[str], run_chars: int = RUN_CHARS) -> Iterator[str]:
    """The lines (text without line breaks) in C order, repeated ones included.

    Memory is bounded by ``run_chars``; few lines are sorted without a file.
    """
    with tempfile.TemporaryDirectory(prefix="xeus_sort.") as folder:
        runs: list[Path] = []
        names = (Path(folder) / f"{number}.txt" for number in range(10**9))
        pending, size = [], 0
        for line in lines:
            pending.append(line)
            size += len(line) + CHARS_A_LINE
            if size < run_chars:
                continue
            pending.sort()
            runs.append(_write(next(names), pending))
            pending, size = [], 0
            if len(runs) == MAX_RUNS:
                merged = _write(next(names), heapq.merge(*map(_read, runs)))
                for run in runs:
                    run.unlink()
                runs = [merged]
        pending.sort()
        yield from heapq.merge(*map(_read, runs), pending) if runs else pending


def _write(path: Path, lines: Iterable[str]) -> Path:
    """Write one run; returns its path."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(line + "\n" for line in lines)
    return path


def _read(path: Path) -> Iterator[str]:
    """The lines of one run."""
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield line[:-1]
