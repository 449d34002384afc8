"""The index of a set: one row an utterance, opened at the same cost for ten rows and for 10^8.

Nothing in memory grows with the rows: columns are read by position (``columns.py``), whole
sets in chunks (`Index.chunks`, `record_batches`).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from espnet2.data.audio import decode_flac
from espnet2.data.frames import SAMPLE_RATE_HZ, num_frames
from espnet2.data.index.columns import (
    CODED,
    SCHEMA,
    CodedColumn,
    IndexFile,
    MappedBatches,
    NumberColumn,
    TextColumn,
)
from espnet2.data.index.writer import SCHEMA_VERSION, SHARD_RUNS, IndexWriter
from espnet2.data.shards import ShardReader
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json


@dataclass(frozen=True, kw_only=True)
class IndexedUtterance:
    """One row of the index."""

    utt_id: str
    recording: str
    shard: str  # relative to the dump root
    offset: int  # first byte of the FLAC payload
    nbytes: int
    num_samples: int
    language: str  # ISO 639-3
    corpus: str
    speaker: str
    content_hash: str  # 16 hexadecimal digits of the PCM

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_samples / SAMPLE_RATE_HZ


@dataclass(frozen=True, kw_only=True)
class ShardRows:
    """The rows of one shard; they follow each other."""

    name: str  # relative to the dump root
    rows: range
    frames: int  # in all


class Index:
    """An index with its audio. Picklable: a worker opens the file again.

    Text columns give str and lists of str, number columns numpy values; see ``columns.py``.
    """

    def __init__(self, path: Path, facts: dict, root: Path):
        self.path, self.root, self._facts = path, root, facts
        self.fingerprint: str = facts["fingerprint"]  # of the content
        self._shards = ShardReader(root)
        self._rows: int = facts["rows"]
        file = IndexFile(path, self._rows, facts["rows_per_batch"], facts["num_batches"])
        self.utt_ids = TextColumn(file, "utt_id")
        self.recordings = TextColumn(file, "recording")
        self.speakers = TextColumn(file, "speaker")
        self.shards = CodedColumn(file, "shard")
        self.languages = CodedColumn(file, "language")
        self.corpora = CodedColumn(file, "corpus")
        self.offsets = NumberColumn(file, "offset", np.int64)
        self.nbytes = NumberColumn(file, "nbytes", np.int32)
        self.num_samples = NumberColumn(file, "num_samples", np.int32)
        self.label_starts = NumberColumn(file, "label_start", np.int64)
        self.content_hashes = NumberColumn(file, "content_hash", np.uint64)

    @classmethod
    def open(cls, path: Path | str, root: Path | str | None = None) -> "Index":
        """Open ``dump/<set>/index.arrow`` (or its folder).

        root: folder that shard paths are relative to; default: the folder above the set's.
        Raises DataError when a file is missing, is no index, or belongs to another one.
        """
        path = Path(path)
        path = path / "index.arrow" if path.is_dir() else path
        facts = read_facts(path)
        return cls(path, facts, Path(root) if root else path.absolute().parent.parent)

    def __len__(self) -> int:
        return self._rows

    def __reduce__(self):
        return Index.open, (self.path, self.root)

    @property
    def hours(self) -> float:
        """Hours of audio in the index."""
        return self._facts["total_samples"] / SAMPLE_RATE_HZ / 3600

    @cached_property
    def table(self) -> pa.Table:
        """All of it for pyarrow.compute, memory-mapped: pages that are used count as memory."""
        with pa.memory_map(str(self.path)) as source:
            return pa.ipc.open_file(source).read_all()

    def chunks(self) -> Iterator[slice]:
        """Ranges of rows to read one after the other; all rows in order."""
        size = self._facts["rows_per_batch"]
        for start in range(0, len(self), size):
            yield slice(start, min(start + size, len(self)))

    def frames_of(self, rows) -> int | np.ndarray:
        """Frames on the 320-sample grid of a row, a slice of rows, or an array of rows."""
        return num_frames(self.num_samples[rows])

    def each_shard(self) -> Iterator[ShardRows]:
        """The shards that have rows, in order; read from small facts, not from rows."""
        waiting = None
        for runs in self._shard_runs():
            names = self.shards.known[[code for code, *_ in runs]]
            for name, (_, first, rows, frames) in zip(names, runs, strict=True):
                if waiting is not None and waiting.name == name:  # a batch ended inside a shard
                    first, rows = waiting.rows.start, len(waiting.rows) + rows
                    frames += waiting.frames
                elif waiting is not None:
                    yield waiting
                waiting = ShardRows(name=name, rows=range(first, first + rows), frames=frames)
        if waiting is not None:
            yield waiting

    def _shard_runs(self) -> Iterator[list[list[int]]]:
        """Each batch's runs of one shard: [code, first row, rows, frames]."""
        for number in range(self._facts["num_batches"]):
            with MappedBatches(self.path) as batches:  # opened anew: a map grows with its use
                metadata = batches.reader.get_batch_with_custom_metadata(number)[1]
                yield json.loads(metadata[SHARD_RUNS])

    def utterance(self, i: int) -> IndexedUtterance:
        """Row ``i`` as a record."""
        return IndexedUtterance(
            utt_id=self.utt_ids[i], recording=self.recordings[i], shard=self.shards[i],
            offset=int(self.offsets[i]), nbytes=int(self.nbytes[i]),
            num_samples=int(self.num_samples[i]), language=self.languages[i],
            corpus=self.corpora[i], speaker=self.speakers[i],
            content_hash=f"{int(self.content_hashes[i]):016x}",
        )  # fmt: skip

    def audio(self, i: int) -> np.ndarray:
        """(num_samples,) float32 in ±1. Raises DataError naming the utterance."""
        try:
            data = self._shards.read(self.shards[i], int(self.offsets[i]), int(self.nbytes[i]))
            audio = decode_flac(data)
        except (OSError, DataError) as error:
            raise DataError(f"{self.utt_ids[i]}: {error}") from None
        if len(audio) != self.num_samples[i]:
            raise DataError(
                f"{self.utt_ids[i]}: {len(audio)} samples in the shard, "
                f"{self.num_samples[i]} in {self.path}"
            )
        return audio


def index_json(path: Path) -> Path:
    """The small file that stands for an index (the file or its folder): an input of units."""
    path = Path(path)
    return path / "index.json" if path.suffix != ".arrow" else path.with_suffix(".json")


def read_facts(path: Path) -> dict:
    """What ``index.json`` says, once it is sure that it speaks of this Arrow file."""
    try:
        facts = read_json(index_json(path))
        version = facts["schema_version"]
        with pa.memory_map(str(path)) as source:
            reader, size = pa.ipc.open_file(source), source.size()
            schema, num_batches = reader.schema, reader.num_record_batches
    except FileNotFoundError as error:
        missing = f"{error.filename or path} is missing; run the stage that writes it"
        raise DataError(f"{path}: not a readable index: {missing}") from None
    except (OSError, pa.ArrowInvalid, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a readable index: {error}") from None
    if schema != SCHEMA or version != SCHEMA_VERSION:
        raise DataError(
            f"{path}: has the columns {', '.join(schema.names)} of version {version}; this "
            f"program reads version {SCHEMA_VERSION}: run the stage that wrote it again"
        )
    if (size, num_batches) != (facts["arrow_bytes"], facts["num_batches"]):
        raise DataError(
            f"{path}: {size:,} bytes in {num_batches} batches, but {index_json(path).name} speaks "
            f"of {facts['arrow_bytes']:,} in {facts['num_batches']}: run the stage that wrote "
            f"them again"
        )
    return facts


def record_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The rows of an index file batch by batch, read into memory and not mapped."""
    with pa.OSFile(str(path)) as source:
        reader = pa.ipc.open_file(source)
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


def write_index(path: Path, table: pa.Table) -> None:
    """Write a small table with the columns of SCHEMA, atomically; see ``IndexWriter``."""
    table = table.unify_dictionaries()
    coded = [field.name for field in SCHEMA if field.type == CODED]
    names = {
        name: table.column(name).chunk(0).dictionary.to_pylist() if len(table) else []
        for name in coded
    }
    with IndexWriter(path, names) as writer:
        writer.write(table)


def table_of(utterances: list[IndexedUtterance]) -> pa.Table:
    """A table with the columns of SCHEMA, in the order given; ``label_start`` is not known yet."""
    names = [name for name in SCHEMA.names if name != "label_start"]
    columns = {name: [getattr(u, name) for u in utterances] for name in names}
    columns["content_hash"] = [int(digest, 16) for digest in columns["content_hash"]]
    return pa.table({name: pa.array(v, SCHEMA.field(name).type) for name, v in columns.items()})
