"""A table of counts of which only the cells that occur are kept.

Shapes: N observations, C cells that occur.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

MERGE_AT = 2**20  # observations that wait, 8 bytes each


@dataclass(frozen=True)
class Table:
    """The cells of a table of rows × columns; one without an observation is not there."""

    rows: np.ndarray  # (C,) int64
    columns: np.ndarray  # (C,) int64
    counts: np.ndarray  # (C,) int64, 1 or more

    @classmethod
    def of_codes(cls, codes: np.ndarray, counts: np.ndarray, bits: int) -> "Table":
        """Cells from codes ``row << bits | column``; those of one code are added up."""
        codes, counts = added_up(codes, counts)
        return cls(codes >> bits, codes & (1 << bits) - 1, counts)

    @cached_property
    def total(self) -> int:
        """How many observations."""
        return int(self.counts.sum())

    @cached_property
    def row_sums(self) -> np.ndarray:
        """(last row + 1,) int64; 0 for a row without an observation."""
        return sums(self.rows, self.counts)

    @cached_property
    def column_sums(self) -> np.ndarray:
        """(last column + 1,) int64; 0 for a column without an observation."""
        return sums(self.columns, self.counts)


def sums(codes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(last code + 1,) int64: the counts of each code, added up as whole numbers."""
    result = np.zeros(int(codes.max(initial=-1)) + 1, np.int64)
    np.add.at(result, codes, counts)
    return result


def added_up(codes: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different codes in order, and the counts of each added up."""
    found, places = np.unique(codes, return_inverse=True)
    result = np.zeros(len(found), np.int64)
    np.add.at(result, places, counts)
    return found, result


class Cells:
    """Counts how often each code (a whole number below 2^63) was seen.

    Memory grows with the different codes, not with the observations.
    """

    def __init__(self) -> None:
        self._codes = np.zeros(0, np.int64)
        self._counts = np.zeros(0, np.int64)
        self._waiting: list[np.ndarray] = []
        self._size = 0

    def add(self, codes: np.ndarray) -> None:
        """Count the codes (N,) int64."""
        self._waiting.append(codes)
        self._size += len(codes)
        if self._size >= MERGE_AT:
            self._merge()

    def counted(self) -> tuple[np.ndarray, np.ndarray]:
        """(C,) int64 codes in order, and (C,) int64 how often each was seen."""
        self._merge()
        return self._codes, self._counts

    def _merge(self) -> None:
        if not self._size:
            return
        seen, counts = np.unique(np.concatenate(self._waiting), return_counts=True)
        self._waiting, self._size = [], 0
        self._codes, self._counts = added_up(
            np.concatenate([self._codes, seen]), np.concatenate([self._counts, counts])
        )
