"""The columns of an index, read by position.

``index.arrow`` holds record batches of equal size. Where the numbers of a column lie in the file
is asked of Arrow once (`IndexFile`), a few batches at a time; from then on they are read without
it, so that neither Python objects nor mapped pages grow with the rows.
"""

import os
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from espnet2.data.file_array import Numbers, Rows, read_into, row_numbers, runs
from espnet2.utils.errors import DataError

CODED = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("utt_id", pa.large_string()),
        ("recording", pa.large_string()),
        ("speaker", pa.large_string()),
        ("shard", CODED),  # path relative to the dump root
        ("language", CODED),  # ISO 639-3
        ("corpus", CODED),
        ("offset", pa.int64()),  # first byte of the FLAC payload
        ("nbytes", pa.int32()),
        ("num_samples", pa.int32()),  # at 16 kHz
        ("label_start", pa.int64()),  # frames of the same shard before this row
        ("content_hash", pa.uint64()),  # of the PCM
    ]
)
# What is read of each column: the numbers; of text where each one begins, and the bytes.
BUFFERS = [
    (field.name, part)
    for field in SCHEMA
    for part in ((1, 2) if pa.types.is_large_string(field.type) else (1,))
]
BATCHES_AT_ONCE = 64  # whose places are asked together; a map of more would be felt in memory


class IndexFile:
    """Where in the file each batch keeps each column."""

    def __init__(self, path: Path, rows: int, rows_per_batch: int, num_batches: int):
        self.path, self.rows = path, rows
        self.rows_per_batch, self.num_batches = rows_per_batch, num_batches
        self.descriptor = os.open(path, os.O_RDONLY)
        self._places = np.full((num_batches, len(BUFFERS)), -1, np.int64)  # bytes
        self._column = {buffer: number for number, buffer in enumerate(BUFFERS)}

    def place(self, batch: int, name: str, part: int = 1) -> int:
        """First byte of a column's buffer in a batch: 1 numbers or text offsets, 2 text."""
        if self._places[batch, 0] < 0:
            first = batch // BATCHES_AT_ONCE * BATCHES_AT_ONCE
            with MappedBatches(self.path) as batches:
                for number in range(first, min(first + BATCHES_AT_ONCE, self.num_batches)):
                    columns = batches.reader.get_batch(number)
                    self._places[number] = [
                        batches.place(columns.column(name).buffers()[part])
                        for name, part in BUFFERS
                    ]
        return int(self._places[batch, self._column[name, part]])

    def parts(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """The rows [start, stop) batch by batch: (batch, first row in the batch, rows)."""
        while start < stop:
            batch, first = divmod(start, self.rows_per_batch)
            count = min(self.rows_per_batch - first, stop - start)
            yield batch, first, count
            start += count

    def read(self, place: int, size: int, dtype: np.dtype | str) -> np.ndarray:
        """(size,) numbers that begin at byte ``place``."""
        values = np.empty(size, dtype)
        read_into(self.descriptor, values.view(np.uint8), place, self.path)
        return values

    def strings(self, places: tuple[int, int], dtype: str, first: int, count: int) -> list[str]:
        """Strings ``first`` … of an Arrow array whose offsets and text begin at ``places``."""
        offsets = self.read(places[0] + first * np.dtype(dtype).itemsize, count + 1, dtype)
        offsets = offsets.astype(np.int64)
        text = self.read(places[1] + int(offsets[0]), int(offsets[-1] - offsets[0]), np.uint8)
        if count == 1:
            return [text.tobytes().decode()]
        buffers = (pa.py_buffer(offsets - offsets[0]), pa.py_buffer(text))
        return pa.LargeStringArray.from_buffers(count, *buffers).to_pylist()

    def __del__(self):
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


class MappedBatches:
    """The file mapped for a moment, to ask Arrow what lies where; a context manager."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> "MappedBatches":
        self._source = pa.memory_map(str(self.path))
        self._size = self._source.size()
        self._base = self._source.read_buffer(1).address
        self.reader = pa.ipc.open_file(self._source)
        return self

    def place(self, buffer: pa.Buffer | None) -> int:
        """Byte of the file at which a buffer begins; 0 for an empty one."""
        if buffer is None or not buffer.size:
            return 0
        place = buffer.address - self._base
        if not 0 <= place < self._size:
            raise DataError(f"{self.path}: its columns are compressed; write the index again")
        return place

    def __exit__(self, *error) -> None:
        self._source.close()
        del self.reader, self._source  # the last users of the map: it goes with them


class NumberColumn(Numbers):
    """A column of numbers; see ``Numbers`` for what ``[]`` gives."""

    def __init__(self, file: IndexFile, name: str, dtype: np.dtype | str):
        self._file, self._name = file, name
        self.dtype, self.size = np.dtype(dtype), file.rows

    def read(self, start: int, stop: int) -> np.ndarray:
        """(stop - start,) numbers of the rows [start, stop)."""
        width = self.dtype.itemsize
        parts = [
            self._file.read(self._file.place(batch, self._name) + first * width, count, self.dtype)
            for batch, first, count in self._file.parts(start, stop)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, self.dtype), *parts])


class Strings(Rows):
    """Strings: ``[i]`` gives a str, a slice or an array of rows a list."""

    def take(self, numbers: np.ndarray) -> list[str]:
        """The strings ``numbers`` (n,), in any order."""
        numbers = row_numbers(numbers, self.size)
        order = np.argsort(numbers, kind="stable")
        ascending, found = numbers[order], [""] * len(numbers)
        for start, end in runs(ascending, max_gap=16, max_run=4096):
            first = int(ascending[start])
            texts = self.read(first, int(ascending[end - 1]) + 1)
            for place, number in zip(order[start:end], ascending[start:end], strict=True):
                found[place] = texts[number - first]
        return found

    def __iter__(self) -> Iterator[str]:
        for start in range(0, self.size, 4096):
            yield from self.read(start, min(start + 4096, self.size))

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(list(self), dtype=dtype if dtype is not None else np.str_)


class TextColumn(Strings):
    """A column of text."""

    def __init__(self, file: IndexFile, name: str):
        self._file, self._name, self.size = file, name, file.rows

    def read(self, start: int, stop: int) -> list[str]:
        """The strings of the rows [start, stop)."""
        found = []
        for batch, first, count in self._file.parts(start, stop):
            places = self._file.place(batch, self._name, 1), self._file.place(batch, self._name, 2)
            found += self._file.strings(places, "<i8", first, count)
        return found


class Names(Strings):
    """The distinct strings of a coded column, by code."""

    def __init__(self, file: IndexFile, name: str):
        self._file, self._places, self.size = file, (0, 0), 0
        if file.num_batches:
            with MappedBatches(file.path) as batches:
                names = batches.reader.get_batch(0).column(name).dictionary
                self._places = tuple(batches.place(part) for part in names.buffers()[1:])
                self.size = len(names)
                del names

    def read(self, start: int, stop: int) -> list[str]:
        """The names of the codes [start, stop)."""
        if start == stop:
            return []
        return self._file.strings(self._places, "<i4", start, stop - start)


class CodedColumn(Strings):
    """A column with few distinct strings: ``names[codes[i]]`` is row ``i``."""

    def __init__(self, file: IndexFile, name: str):
        self._file, self._name, self.size = file, name, file.rows
        self.codes = NumberColumn(file, name, "<i4")
        self.name = lru_cache(maxsize=1024)(self._read_name)  # code -> str

    @cached_property
    def known(self) -> Names:
        """The names where they lie; ``names`` holds them all in memory."""
        return Names(self._file, self._name)

    @cached_property
    def names(self) -> list[str]:
        """All names, in memory from then on."""
        return list(self.known)

    def _read_name(self, code: int) -> str:
        return self.known[code]

    def read(self, start: int, stop: int) -> list[str]:
        """The strings of the rows [start, stop)."""
        return [self.name(code) for code in self.codes.read(start, stop).tolist()]

    def take(self, numbers: np.ndarray) -> list[str]:
        """The strings of the rows ``numbers`` (n,)."""
        return [self.name(code) for code in self.codes.take(numbers).tolist()]
