"""Flat numbers in a file, read by position.

A memory map counts every page that was touched as memory of the process; positioned reads leave
them to the kernel's cache, so a process that looks up rows all day stays as small as it began.
"""

import operator
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from espnet2.utils.errors import DataError

MAX_GAP = 512  # numbers between two wanted ones that are cheaper to read than to skip
MAX_RUN = 2**19  # numbers read at once for wanted ones that lie close together


class Rows(ABC):
    """A column that is not in memory: ``rows[i]``, ``rows[a:b]`` and ``rows[numbers]`` read."""

    size: int

    @abstractmethod
    def read(self, start: int, stop: int):
        """The (stop - start,) entries from start on."""

    @abstractmethod
    def take(self, numbers: np.ndarray):
        """The (n,) entries ``numbers`` (n,), in any order; ascending ones cost the fewest reads."""

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, item):
        if isinstance(item, slice):
            start, stop, step = item.indices(self.size)
            if step == 1:
                return self.read(start, max(start, stop))
            return self.take(np.arange(start, stop, step))
        if isinstance(item, np.ndarray | list):
            return self.take(np.asarray(item))
        i = row_number(item, self.size)
        return self.read(i, i + 1)[0]


class Numbers(Rows):
    """Numbers: ``[i]`` gives a numpy scalar, the rest numpy arrays.

    ``np.asarray`` reads the whole of it, so it is for small ones.
    """

    dtype: np.dtype

    def take(self, numbers: np.ndarray) -> np.ndarray:
        """The entries ``numbers`` (any order, any shape); ascending ones cost the fewest reads."""
        numbers = row_numbers(numbers, self.size)
        order = np.argsort(numbers, axis=None, kind="stable")
        ascending = numbers.ravel()[order]
        values = np.empty(len(ascending), self.dtype)
        for start, end in runs(ascending, MAX_GAP, MAX_RUN):
            first, last = int(ascending[start]), int(ascending[end - 1])
            found = self.read(first, last + 1)
            values[order[start:end]] = found[ascending[start:end] - first]
        return values.reshape(numbers.shape)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self.read(0, self.size), dtype=dtype)


class FileArray(Numbers):
    """An array in a file. Picklable: a worker opens the file again."""

    def __init__(self, path: Path | str, dtype: np.dtype | str, size: int, offset: int = 0):
        """path: the file; size: numbers in it, the first at byte ``offset``."""
        self.path, self.dtype = Path(path), np.dtype(dtype)
        self.size, self.offset = size, offset
        self._file = os.open(self.path, os.O_RDONLY)
        if os.fstat(self._file).st_size < offset + size * self.dtype.itemsize:
            raise DataError(f"{self.path}: cut short: holds no {size:,} {self.dtype} numbers")

    @classmethod
    def open_npy(cls, path: Path | str) -> "FileArray":
        """The array in a ``.npy`` file of one dimension. Raises DataError for anything else."""
        try:
            with open(path, "rb") as file:
                version = np.lib.format.read_magic(file)
                read = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
                shape, _, dtype = read(file)
                offset = file.tell()
        except (OSError, ValueError, AttributeError) as error:
            raise DataError(f"{path}: not a readable .npy file: {error}") from None
        if len(shape) != 1 or dtype.hasobject:
            raise DataError(f"{path}: holds {dtype} of shape {shape}, not a row of numbers")
        return cls(path, dtype, shape[0], offset)

    def read(self, start: int, stop: int) -> np.ndarray:
        """(stop - start,) numbers, a copy in memory."""
        values = np.empty(stop - start, self.dtype)
        place = self.offset + start * self.dtype.itemsize
        read_into(self._file, values.view(np.uint8), place, self.path)
        return values

    def take(self, numbers: np.ndarray) -> np.ndarray:
        """The entries ``numbers`` (any order, any shape); scattered ones are read one by one."""
        numbers = row_numbers(numbers, self.size)
        if not numbers.size or np.ptp(numbers) < MAX_GAP * numbers.size:
            return super().take(numbers)
        width, file = self.dtype.itemsize, self._file
        places = (self.offset + numbers.ravel() * width).tolist()
        found = bytearray().join([os.pread(file, width, place) for place in places])
        if len(found) != width * len(places):
            raise DataError(f"{self.path}: cut short: ends before byte {max(places) + width:,}")
        return np.frombuffer(found, self.dtype).reshape(numbers.shape)

    def __reduce__(self):
        return FileArray, (self.path, self.dtype, self.size, self.offset)

    def __del__(self):
        if hasattr(self, "_file"):
            os.close(self._file)


def runs(ascending: np.ndarray, max_gap: int, max_run: int) -> Iterator[tuple[int, int]]:
    """Cut ascending numbers (n,) where to read on costs more than to begin anew: (start, end).

    A run also ends on every multiple of ``max_run``, so that no read grows without bound.
    """
    if not len(ascending):
        return
    is_first = np.diff(ascending) > max_gap
    is_first |= np.diff(ascending // max_run) > 0
    starts = [0, *(np.flatnonzero(is_first) + 1).tolist()]
    yield from zip(starts, [*starts[1:], len(ascending)], strict=True)


def row_number(item, size: int) -> int:
    """``item`` as a row in [0, size); raises IndexError for anything else."""
    i = operator.index(item)
    if not -size <= i < size:
        raise IndexError(f"row {i} of {size}")
    return i % size


def row_numbers(numbers: np.ndarray, size: int) -> np.ndarray:
    """Rows as int64 in [0, size), from integers; negative ones count from the end.

    Raises IndexError for a row that is not there, TypeError for what is no integer.
    """
    if not numbers.size:
        return numbers.astype(np.int64)
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"rows are chosen by integers, not by {numbers.dtype}")
    numbers = numbers.astype(np.int64)
    low, high = int(numbers.min()), int(numbers.max())
    if low < -size or high >= size:
        raise IndexError(f"row {low if low < -size else high} of {size}")
    return np.where(numbers < 0, numbers + size, numbers) if low < 0 else numbers


def read_into(file: int, buffer: np.ndarray, offset: int, path: Path) -> None:
    """Fill ``buffer`` (bytes) from ``offset``; raises DataError when the file ends before."""
    done = 0
    while done < len(buffer):
        count = os.preadv(file, [buffer[done:]], offset + done)
        if not count:
            raise DataError(f"{path}: cut short: ends before byte {offset + len(buffer):,}")
        done += count
