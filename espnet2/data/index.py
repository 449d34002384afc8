"""The index of a set: one Arrow row an utterance, memory-mapped, shared by all processes.

Strings that repeat (shard, language, corpus, speaker) are dictionary-encoded; numbers are numpy
views of the file, so opening costs the same for ten rows and for ten million.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from espnet2.data.audio import decode_flac
from espnet2.data.frames import SAMPLE_RATE_HZ, num_frames
from espnet2.data.shards import ShardReader
from espnet2.utils.errors import DataError
from espnet2.utils.files import atomic_path

_CODED = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("utt_id", pa.large_string()),
        ("recording", pa.large_string()),
        ("shard", _CODED),  # path relative to the dump root
        ("offset", pa.int64()),  # first byte of the FLAC payload
        ("nbytes", pa.int64()),
        ("num_samples", pa.int32()),  # at 16 kHz
        ("language", _CODED),  # ISO 639-3
        ("corpus", _CODED),
        ("speaker", _CODED),
        ("content_hash", pa.string()),  # 16 hexadecimal digits of the PCM
    ]
)


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
    content_hash: str

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_samples / SAMPLE_RATE_HZ


class Strings(Sequence):
    """A column of strings that makes a Python object only for what is asked."""

    def __init__(self, column: pa.Array):
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, item):
        if isinstance(item, slice):
            return self._column[item].to_pylist()
        if isinstance(item, np.ndarray):
            return self._column.take(pa.array(item)).to_pylist()
        size = len(self._column)
        if not -size <= item < size:
            raise IndexError(f"row {item} of {size}")
        return self._column[int(item) % size].as_py()

    def __iter__(self) -> Iterator[str]:
        for chunk in range(0, len(self), 4096):
            yield from self[chunk : chunk + 4096]


class Coded(Strings):
    """A column with few distinct strings: ``names[codes[i]]`` is row ``i``.

    ``names`` is a list of str, ``codes`` an int32 array; ``np.asarray`` gives the strings.
    """

    def __init__(self, column: pa.DictionaryArray):
        super().__init__(column)
        self.codes: np.ndarray = column.indices.to_numpy(zero_copy_only=False)  # (rows,)
        self.names: list[str] = column.dictionary.to_pylist()

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self.names or [""], dtype=dtype)[self.codes]

    def where(self, name: str) -> np.ndarray:
        """(rows,) bool: True where the row holds ``name``."""
        code = self.names.index(name) if name in self.names else -1
        return self.codes == code


class Index:
    """A memory-mapped index with its audio. Picklable: a worker opens the file again."""

    def __init__(self, path: Path, table: pa.Table, root: Path):
        self.path, self.root, self.table = path, root, table
        self._shards = ShardReader(root)
        self.utt_ids = Strings(self._column("utt_id"))
        self.recordings = Strings(self._column("recording"))
        self.content_hashes = Strings(self._column("content_hash"))
        self.shards = Coded(self._column("shard"))
        self.languages = Coded(self._column("language"))
        self.corpora = Coded(self._column("corpus"))
        self.speakers = Coded(self._column("speaker"))
        self.offsets = self._column("offset").to_numpy()
        self.nbytes = self._column("nbytes").to_numpy()
        self.num_samples = self._column("num_samples").to_numpy()  # (rows,) int32

    @classmethod
    def open(cls, path: Path | str, root: Path | str | None = None) -> "Index":
        """Open ``dump/<set>/index.arrow`` (or its folder).

        root: folder that shard paths are relative to; default: the folder above the set's.
        Raises DataError when the file is missing or is not an index.
        """
        path = Path(path)
        path = path / "index.arrow" if path.is_dir() else path
        try:
            with pa.memory_map(str(path)) as source:
                table = pa.ipc.open_file(source).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"{path}: not a readable index: {error}") from None
        if table.schema != SCHEMA:
            raise DataError(f"{path}: columns are {table.schema.names}, not {SCHEMA.names}")
        return cls(path, table, Path(root) if root else path.absolute().parent.parent)

    def _column(self, name: str) -> pa.Array:
        column = self.table.column(name)
        if column.num_chunks == 1:
            return column.chunk(0)
        return pa.array([], column.type) if not column.num_chunks else column.combine_chunks()

    def __len__(self) -> int:
        return self.table.num_rows

    def __reduce__(self):
        return Index.open, (self.path, self.root)

    @property
    def frames(self) -> np.ndarray:
        """(rows,) frames of each utterance on the 320-sample grid."""
        return num_frames(self.num_samples)

    @property
    def hours(self) -> float:
        """Hours of audio in the index."""
        return float(self.num_samples.sum(dtype=np.int64)) / SAMPLE_RATE_HZ / 3600

    def utterance(self, i: int) -> IndexedUtterance:
        """Row ``i`` as a record."""
        return IndexedUtterance(**self.table.slice(int(i), 1).to_pylist()[0])

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


def write_index(path: Path, table: pa.Table) -> None:
    """Write a table with the columns of SCHEMA as one memory-mappable batch, atomically."""
    table = table.select(SCHEMA.names).cast(SCHEMA).unify_dictionaries().combine_chunks()
    with (
        atomic_path(path) as part,
        pa.OSFile(str(part), "wb") as sink,
        pa.ipc.new_file(sink, SCHEMA) as writer,
    ):
        writer.write_table(table)


def table_of(utterances: list[IndexedUtterance]) -> pa.Table:
    """A table with the columns of SCHEMA, in the order given."""
    columns = {name: [getattr(u, name) for u in utterances] for name in SCHEMA.names}
    return pa.table({n: pa.array(columns[n], SCHEMA.field(n).type) for n in SCHEMA.names})
