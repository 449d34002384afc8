"""Which of very many rows hold what an earlier row held, in bounded memory.

Rows are told apart by 64-bit keys. Keys and rows are spilt to files, one for each part of the keys,
and a part is sorted on its own; what is found is spilt again, by ranges of rows, to be asked for in
order. Memory: ``PART_ROWS`` rows of a part at a time (about 100 MB), and the most frequent key as a
whole, 16 bytes a row. Disk: 16 bytes a row while it lasts.
"""

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

PART_ROWS = 2**21
_PAIR = np.dtype((np.int64, 2))


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """An empty folder that goes when the block ends; what a killed run left there goes now."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Spill:
    """Pairs of whole numbers in files, one a part, in the order in which they were added."""

    def __init__(self, folder: Path, name: str, parts: int):
        self.folder, self.name, self.parts = folder, name, parts
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._size = 0

    def add(self, parts: np.ndarray, pairs: np.ndarray) -> None:
        """Add ``pairs`` (n, 2) int64 to the files ``parts`` (n,)."""
        self._waiting.append((parts, pairs))
        self._size += len(parts)
        if self._size >= PART_ROWS // 2:
            self.flush()

    def flush(self) -> None:
        """Write what was added."""
        if not self._waiting:
            return
        parts, pairs = (np.concatenate(some) for some in zip(*self._waiting, strict=True))
        order = np.argsort(parts, kind="stable")
        ends = np.searchsorted(parts[order], np.arange(self.parts + 1))
        for part in np.flatnonzero(np.diff(ends)):
            with self._path(part).open("ab") as file:
                pairs[order[ends[part] : ends[part + 1]]].tofile(file)
        self._waiting, self._size = [], 0

    def read(self, part: int) -> np.ndarray:
        """(n, 2) int64 pairs of a part."""
        path = self._path(part)
        return np.fromfile(path, np.int64).reshape(-1, 2) if path.exists() else np.zeros(0, _PAIR)

    def _path(self, part: int) -> Path:
        return self.folder / f"{self.name}.{part}"


class Duplicates:
    """The rows whose key an earlier row has: pairs (row, first row with that key)."""

    def __init__(self, found: Spill, count: int):
        self._found, self.count = found, count
        self._part, self._pairs = -1, np.zeros(0, _PAIR)

    def between(self, start: int, stop: int) -> np.ndarray:
        """(n, 2) pairs with start <= row < stop, by row; fastest when asked in order."""
        parts = range(start // PART_ROWS, -(-stop // PART_ROWS))
        pairs = [self._of_part(part) for part in parts]
        pairs = np.concatenate([np.zeros(0, _PAIR), *pairs])
        first, last = np.searchsorted(pairs[:, 0], [start, stop])
        return pairs[first:last]

    def _of_part(self, part: int) -> np.ndarray:
        if part != self._part:
            pairs = self._found.read(part)
            self._part, self._pairs = part, pairs[np.argsort(pairs[:, 0], kind="stable")]
        return self._pairs

    def chunks(self) -> Iterator[np.ndarray]:
        """All pairs (n, 2), by row, some thousands at a time."""
        for part in range(self._found.parts):
            pairs = self._of_part(part)
            for start in range(0, len(pairs), 2**14):
                yield pairs[start : start + 2**14]

    def is_first(self, start: int, stop: int) -> np.ndarray:
        """(stop - start,) bool: True where a row is no duplicate."""
        is_first = np.ones(stop - start, bool)
        is_first[self.between(start, stop)[:, 0] - start] = False
        return is_first


def find_duplicates(keys: Iterable[np.ndarray], total: int, folder: Path, name: str) -> Duplicates:
    """Find the repeated ones among ``total`` keys.

    keys: arrays (n,) of 64-bit integers, the rows in order. folder: for files called ``name`` and
    something; the answer needs them.
    """
    parts = total // PART_ROWS + 1
    spill, row = Spill(folder, f"{name}.keys", parts), 0
    for some in keys:
        bits = some.view(np.uint64)
        pairs = np.stack([bits.view(np.int64), np.arange(row, row + len(bits))], axis=1)
        spill.add((bits % np.uint64(parts)).astype(np.int32), pairs)
        row += len(bits)
    spill.flush()
    found, count = Spill(folder, f"{name}.found", parts), 0
    for part in range(parts):
        again = repeated(spill.read(part))
        found.add((again[:, 0] // PART_ROWS).astype(np.int32), again)
        count += len(again)
    found.flush()
    return Duplicates(found, count)


def repeated(pairs: np.ndarray) -> np.ndarray:
    """(m, 2) (row, first row with its key) among ``pairs`` (n, 2) of (key, row), rows ascending."""
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    is_new = np.ones(len(pairs), bool)
    is_new[1:] = pairs[1:, 0] != pairs[:-1, 0]
    first = pairs[is_new, 1][np.cumsum(is_new) - 1]
    return np.stack([pairs[:, 1], first], axis=1)[~is_new]
