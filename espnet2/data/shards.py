"""Shards: Kaldi ark files of AUDIO records, each one FLAC.

A record is ``<utt_id> AUDIO<n><size: n bytes, little endian><size bytes of FLAC>``. kaldiio and
ESPnet (``kaldi_ark``) read it from the offset of ``AUDIO``; our index points at the FLAC itself.
"""

import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO

MAX_OPEN_SHARDS = 64


@dataclass(frozen=True)
class Record:
    """Where one record lies in its shard."""

    offset: int  # first byte of the FLAC payload
    nbytes: int  # bytes of the payload

    @property
    def kaldi_offset(self) -> int:
        """First byte of ``AUDIO``, what kaldiio expects after the colon of ``ark:offset``."""
        return self.offset - len(record_head(self.nbytes))


def record_head(nbytes: int) -> bytes:
    """What stands between the utterance id and the payload."""
    size = nbytes.to_bytes((nbytes.bit_length() + 7) // 8, "little")
    return b"AUDIO" + bytes([len(size)]) + size


def write_record(ark: BinaryIO, utt_id: str, flac: bytes) -> Record:
    """Append one record to an open ark; return where its payload lies."""
    ark.write(utt_id.encode() + b" " + record_head(len(flac)))
    offset = ark.tell()
    ark.write(flac)
    return Record(offset, len(flac))


class ShardReader:
    """Reads payloads by shard, offset and size, with a bounded number of open files.

    Uses positioned reads, so forked processes may share one reader; and so may threads, of which
    one reads at a time, lest another closes its file.
    """

    def __init__(self, root: Path):
        self.root = Path(root)
        self._open: OrderedDict[str, int] = OrderedDict()
        self._alone = Lock()

    def read(self, shard: str, offset: int, nbytes: int) -> bytes:
        """The payload. Raises OSError if the shard is missing or shorter than it should be."""
        with self._alone:
            data = os.pread(self._descriptor(shard), nbytes, offset)
        if len(data) != nbytes:
            raise OSError(
                f"{self.root / shard}: cut short: {len(data)} of {nbytes} bytes at {offset}"
            )
        return data

    def _descriptor(self, shard: str) -> int:
        if shard in self._open:
            self._open.move_to_end(shard)
            return self._open[shard]
        if len(self._open) >= MAX_OPEN_SHARDS:
            os.close(self._open.popitem(last=False)[1])
        self._open[shard] = os.open(self.root / shard, os.O_RDONLY)
        return self._open[shard]

    def close(self) -> None:
        """Close every open shard."""
        while self._open:
            os.close(self._open.popitem()[1])

    def __del__(self):
        self.close()

    def __reduce__(self):
        return ShardReader, (self.root,)  # a worker process opens its own files
