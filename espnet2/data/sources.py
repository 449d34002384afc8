"""What a value of ``wav.scp`` may be, and the encoded audio behind it.

a.flac               a file of any kind libsndfile reads
a.ark:1234           a record of a Kaldi ark: AUDIO as kaldiio writes it, or a WAV as it is
a.parquet:7          a row of a Hugging Face data set (``parquet.py``)
sph2pipe a.sph |     the output of a command, where that is allowed (``pipes.py``)
"""

import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from espnet2.data.parquet import is_parquet, record_bytes
from espnet2.data.pipes import is_pipe, run_pipe
from espnet2.utils.errors import DataError

_ARK_ADDRESS = re.compile(r"^(?P<ark>.+):(?P<offset>\d+)$")
_SURE = (".ark", ".parquet")  # ends of a file in an address; others may be a path with a colon


def ark_address(source: str) -> tuple[str, int] | None:
    """File and offset of ``shard.ark:1234``; None for a path, even one that looks like it."""
    match = _ARK_ADDRESS.match(source)
    if match is None or not (match["ark"].endswith(_SURE) or not os.path.exists(source)):
        return None
    return match["ark"], int(match["offset"])


def source_path(source: str) -> str:
    """The file behind an address: ``a.wav``, ``shard.ark:1234`` or ``rows.parquet:7``."""
    address = ark_address(source)
    return address[0] if address else source


def source_file(source: str) -> Path:
    """The same as a Path."""
    return Path(source_path(source))


def read_bytes(source: str, allow_pipes: bool = False) -> bytes:
    """The encoded audio at ``source``.

    Raises OSError when a file cannot be read, and DataError when there is no such record or row,
    or a command fails or is not allowed.
    """
    if is_pipe(source):
        if not allow_pipes:
            raise DataError(f"{source}: is a command; commands are run only with allow_pipes")
        return run_pipe(source)
    if is_parquet(source):
        return record_bytes(source)
    with open_seekable(source) as file:
        return file.read()


def is_seekable(source: str) -> bool:
    """Whether a part of the audio can be had without reading or making all of it."""
    return not is_pipe(source) and not is_parquet(source)


@contextlib.contextmanager
def open_seekable(source: str) -> Iterator[BinaryIO]:
    """A file, or a record of an ark as if it were a file. Raises OSError or DataError."""
    address = ark_address(source)
    with open(address[0] if address else source, "rb") as file:
        yield open_record(source, file, address[1]) if address else file


def open_record(source: str, ark: BinaryIO, offset: int) -> "Record":
    """The audio of the record at ``offset``. Raises DataError if there is none, or less of it."""
    head = os.pread(ark.fileno(), 14, offset)
    if head[:5] == b"AUDIO" and len(head) > 6:
        first = offset + 6 + head[5]
        size = int.from_bytes(head[6 : 6 + head[5]], "little")
    elif head[:4] == b"RIFF":
        first, size = offset, 8 + int.from_bytes(head[4:8], "little")
    else:
        raise DataError(f"{source}: no AUDIO record at this offset")
    there = max(os.fstat(ark.fileno()).st_size - first, 0)
    if there < size:
        raise DataError(f"{source}: record cut short: {there} of {size} bytes")
    return Record(ark, first, size)


class Record(io.RawIOBase):
    """The bytes ``first`` to ``first + size`` of an open file, as a file of their own."""

    def __init__(self, file: BinaryIO, first: int, size: int):
        self._file, self._first, self._size, self._at = file, first, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def readall(self) -> bytes:
        data = os.pread(self._file.fileno(), self._size - self._at, self._first + self._at)
        self._at += len(data)
        return data

    def readinto(self, buffer) -> int:
        view = memoryview(buffer).cast("B")
        left = max(self._size - self._at, 0)
        count = os.preadv(self._file.fileno(), [view[:left]], self._first + self._at)
        self._at += count
        return count
