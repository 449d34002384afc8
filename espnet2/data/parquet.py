"""Audio inside Parquet files, as Hugging Face stores it: ``file.parquet:row`` is an address.

The audio column is a struct with the fields ``bytes`` (an encoded file) and ``path``. Rows read in
order come from one open reader: a row group is read once, page by page, and a batch of rows at a
time. In memory are that batch and one page, packed and unpacked; what a page holds was decided by
who wrote the file (Hugging Face: up to 100 rows of audio, some hundreds of megabytes).
"""

import bisect
import functools
import re
import threading
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from espnet2.utils.errors import DataError

BATCH_BYTES = 16 << 20  # audio decoded at once; a single larger row is read alone
BUFFER_BYTES = 1 << 20  # of a column that is read page by page
BYTES_PER_S = 32_000  # of 16-bit audio at 16 kHz, to estimate a length from a size
_ADDRESS = re.compile(r"^(?P<file>.+\.parquet):(?P<row>\d+)$", re.IGNORECASE)


class RowGroup(NamedTuple):
    """Where a row group begins in its file, and how large its audio is."""

    number: int
    first: int  # row of the file
    rows: int
    nbytes: int  # of the audio column, uncompressed


class Layout(NamedTuple):
    """What a reader has to know of a Parquet file."""

    audio: str  # name of the audio column
    groups: tuple[RowGroup, ...]

    @property
    def rows(self) -> int:
        """Rows in the file."""
        return self.groups[-1].first + self.groups[-1].rows if self.groups else 0

    def group_of(self, path: str, row: int) -> RowGroup:
        """The row group that holds ``row``. Raises DataError if the file is shorter."""
        place = bisect.bisect_right(self.groups, row, key=lambda group: group.first) - 1
        if place < 0 or row >= self.rows:
            raise DataError(f"{path}:{row}: no such row; the file has {self.rows}")
        return self.groups[place]


def is_parquet(source: str) -> bool:
    """Whether ``source`` is the address of a row: ``file.parquet:row``."""
    return _ADDRESS.match(source) is not None


def record_bytes(source: str) -> bytes:
    """The encoded audio of the row ``source`` names.

    Raises OSError when a file cannot be read, and DataError when it is no Parquet file, has no
    such row, or the row holds no audio ("audio bytes are null").
    """
    match = _ADDRESS.match(source)
    path, row = match["file"], int(match["row"])
    reader = getattr(_open, "reader", None)
    if reader is None or not reader.continues(path, row):
        _open.reader = None  # a failure below leaves no half-read reader behind
        reader = RowReader(path, row)
        _open.reader = reader
    try:
        value = reader.read(row)
    except BaseException:
        _open.reader = None
        raise
    if value is None or value["bytes"] is None:
        return _outside(source, Path(path), value and value.get("path"))
    return value["bytes"]


def estimated_seconds(source: str) -> float:
    """Seconds of audio a row holds if it is average of its row group and 16 kHz 16-bit PCM.

    Reads the file's metadata alone. Raises OSError or DataError.
    """
    match = _ADDRESS.match(source)
    path, row = match["file"], int(match["row"])
    group = layout_of(path, *_stamp(path)).group_of(path, row)
    return group.nbytes / group.rows / BYTES_PER_S


@functools.lru_cache(maxsize=8)
def layout_of(path: str, nbytes: int, changed_ns: int) -> Layout:
    """The audio column and the row groups of a file of this size and time of change.

    A file that was changed has others. Raises OSError or DataError.
    """
    with open_parquet(path) as file:
        audio = audio_column(path, file.schema_arrow)
        groups, first = [], 0
        for number in range(file.num_row_groups):
            about = file.metadata.row_group(number)
            chunks = (about.column(i) for i in range(about.num_columns))
            of_audio = [c for c in chunks if c.path_in_schema.startswith(f"{audio}.")]
            size = sum(chunk.total_uncompressed_size for chunk in of_audio)
            groups.append(RowGroup(number, first, about.num_rows, size))
            first += about.num_rows
    return Layout(audio, tuple(group for group in groups if group.rows))


def open_parquet(path: str | Path) -> pq.ParquetFile:
    """An open file that reads its columns page by page. Raises OSError or DataError."""
    Path(path).stat()  # FileNotFoundError with the plain name
    try:
        return pq.ParquetFile(
            path, buffer_size=BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not a Parquet file: {_first_line(error)}") from None


def audio_column(path: str | Path, schema: pa.Schema) -> str:
    """The column that is a struct with the fields ``bytes`` and ``path``.

    Raises DataError when there is none, or several of which none is called ``audio``.
    """
    found = [field.name for field in schema if _is_audio(field.type)]
    if "audio" in found or len(found) == 1:
        return "audio" if "audio" in found else found[0]
    problem = f"several audio columns ({', '.join(found)}); call one of them audio"
    if not found:
        names = ", ".join(schema.names)
        problem = f"no audio column (a struct of bytes and path); its columns are {names}"
    raise DataError(f"{path}: {problem}")


class RowReader:
    """Rows of one row group after the other, in rising order."""

    def __init__(self, path: str, row: int) -> None:
        """Ready to read ``row`` or any later one."""
        self.path, self.stamp = path, _stamp(path)
        self.layout = layout_of(path, *self.stamp)
        self.file = open_parquet(path)
        self._enter(self.layout.group_of(path, row))

    def continues(self, path: str, row: int) -> bool:
        """Whether the row lies ahead in this file, so that nothing is read again for it."""
        return path == self.path and row >= self.first and _stamp(path) == self.stamp

    def read(self, row: int) -> dict | None:
        """``{"bytes": ..., "path": ...}`` of a row at or after the one read last."""
        group = self.layout.group_of(self.path, row)
        if group != self.group:
            self._enter(group)
        try:
            while row >= self.first + len(self.batch):
                self.first += len(self.batch)
                self.batch = next(self.batches)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path}:{row}: cannot be read: {_first_line(error)}") from None
        return self.batch[row - self.first].as_py()

    def _enter(self, group: RowGroup) -> None:
        """Begin a row group; ``batch`` starts at row ``first`` of the file."""
        rows = max(1, min(256, BATCH_BYTES * group.rows // max(group.nbytes, 1)))
        self.group, self.first, self.batch = group, group.first, pa.array([])
        self.batches = (
            batch.column(0)
            for batch in self.file.iter_batches(
                rows, row_groups=[group.number], columns=[self.layout.audio], use_threads=False
            )
        )


def _outside(source: str, path: Path, named: str | None) -> bytes:
    """The file a row without bytes names: beside the Parquet file, or anywhere by its full path."""
    if named and (path.parent / named).is_file():
        return (path.parent / named).read_bytes()
    raise DataError(f"{source}: audio bytes are null")


def _is_audio(kind: pa.DataType) -> bool:
    """Whether a column has the fields ``bytes`` and ``path``."""
    return pa.types.is_struct(kind) and {"bytes", "path"} <= {field.name for field in kind}


def _stamp(path: str) -> tuple[int, int]:
    """Size and time of change."""
    about = Path(path).stat()
    return about.st_size, about.st_mtime_ns


def _first_line(error: Exception) -> str:
    """The first line of a message of Arrow."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


_open = threading.local()  # the last reader of each thread
