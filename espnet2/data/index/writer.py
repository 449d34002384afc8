"""Writing an index in a stream: batches of one size, a content hash, and the small facts last.

``index.json`` stands for the index: whoever depends on its content reads the fingerprint there.
"""

import contextlib
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from espnet2.data.frames import num_frames
from espnet2.data.index.columns import CODED, SCHEMA
from espnet2.utils.errors import DataError
from espnet2.utils.files import atomic_path, write_json

ROWS_PER_BATCH = 2**18
SCHEMA_VERSION = 2
SHARD_RUNS = b"shard_runs"  # key of a batch's metadata: [[code, first row, rows, frames], …]
GIVEN = [field for field in SCHEMA if field.name != "label_start"]


class IndexWriter:
    """Writes ``index.arrow`` and, last, ``index.json`` beside it; a context manager.

    path: the Arrow file. names: the names of each coded column (shard, language, corpus), in the
    order of their codes. An error inside leaves what was there before.
    """

    def __init__(self, path: Path, names: dict[str, list[str]]):
        self.path = Path(path)
        self._names = {f.name: list(names[f.name]) for f in SCHEMA if f.type == CODED}
        self._code = {
            column: {name: code for code, name in enumerate(known)}
            for column, known in self._names.items()
        }
        self._dictionary = {c: pa.array(known, pa.string()) for c, known in self._names.items()}
        self._mapped: dict[str, tuple] = {}  # column -> (a dictionary seen before, its codes)
        self._waiting: list[pa.RecordBatch] = []
        self._hashes = {field.name: ColumnHash() for field in GIVEN}
        self._num_waiting = self._rows = self._batches = self._samples = 0
        self._seen = np.zeros(len(self._names["shard"]), bool)  # shards that had rows
        self._shard, self._frames = -1, 0  # the last row's shard, and its frames so far
        self._size = ROWS_PER_BATCH

    def __enter__(self) -> "IndexWriter":
        self._open = contextlib.ExitStack()
        part = self._open.enter_context(atomic_path(self.path))
        sink = self._open.enter_context(pa.OSFile(str(part), "wb"))
        self._arrow = self._open.enter_context(pa.ipc.new_file(sink, SCHEMA))
        return self

    def __exit__(self, *error) -> None:
        if error[0] is not None:
            self._open.__exit__(*error)
            return
        with self._open:
            if self._num_waiting:
                self._write_batch(pa.Table.from_batches(self._waiting))
            self._json.unlink(missing_ok=True)  # no moment with new rows and old facts
        write_json(self._json, self._facts())

    @property
    def _json(self) -> Path:
        return self.path.with_suffix(".json")

    def write(self, columns) -> None:
        """Append rows: a RecordBatch, a Table, or a dict of arrays, with the columns of SCHEMA.

        A coded column may also be an integer array of codes. ``label_start`` is computed here.
        Raises DataError for a null, an unknown name, or a shard whose rows are not consecutive.
        """
        arrays = [self._array(field, columns[field.name]) for field in GIVEN]
        self._waiting.append(pa.record_batch(arrays, names=[field.name for field in GIVEN]))
        self._num_waiting += len(arrays[0])
        if self._num_waiting >= self._size:
            table = pa.Table.from_batches(self._waiting)
            while len(table) >= self._size:
                self._write_batch(table.slice(0, self._size))
                table = table.slice(self._size)
            self._waiting, self._num_waiting = table.to_batches(), len(table)

    def _array(self, field: pa.Field, values) -> pa.Array:
        """The values of a column without nulls; of a coded column the codes."""
        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        if not isinstance(values, pa.Array):
            values = pa.array(values, None if field.type == CODED else field.type)
        if values.null_count:
            raise DataError(f"{self.path}: column {field.name} has an empty cell")
        if field.type == CODED:
            return self._codes(field.name, values)
        return values if values.type == field.type else values.cast(field.type)

    def _codes(self, column: str, values: pa.Array) -> pa.Array:
        """Codes among the writer's own names."""
        if pa.types.is_integer(values.type):
            codes = values.to_numpy(zero_copy_only=False).astype(np.int32)
            if len(codes) and not 0 <= codes.min() <= codes.max() < len(self._names[column]):
                raise DataError(f"{self.path}: column {column} has a code without a name")
            return pa.array(codes)
        if not pa.types.is_dictionary(values.type):
            values = values.dictionary_encode()
        codes = self._own_codes(column, values.dictionary)[values.indices.to_numpy()]
        if len(codes) and codes.min() < 0:
            stranger = values[int(codes.argmin())].as_py()
            raise DataError(f"{self.path}: {column} {stranger} is not among the names given")
        return pa.array(codes)

    def _own_codes(self, column: str, names: pa.Array) -> np.ndarray:
        """(names,) int32: the writer's code of each name; -1 for an unknown one."""
        before = self._mapped.get(column)
        if before is None or not before[0].equals(names):
            own = self._code[column]
            codes = np.array([own.get(name, -1) for name in names.to_pylist()], np.int32)
            before = self._mapped[column] = (names, codes)
        return before[1]

    def _write_batch(self, table: pa.Table) -> None:
        columns = {n: table.column(n).combine_chunks() for n in table.column_names}
        for name, column in columns.items():
            self._hashes[name].update(column)
        num_samples = columns["num_samples"].to_numpy()
        starts, runs = self._frames_before(columns, num_frames(num_samples).astype(np.int64))
        columns["label_start"] = pa.array(starts, pa.int64())
        for name, dictionary in self._dictionary.items():
            columns[name] = pa.DictionaryArray.from_arrays(columns[name], dictionary)
        batch = pa.record_batch([columns[name] for name in SCHEMA.names], schema=SCHEMA)
        self._arrow.write_batch(batch, custom_metadata={SHARD_RUNS: json.dumps(runs).encode()})
        self._rows += len(table)
        self._batches += 1
        self._samples += int(num_samples.sum(dtype=np.int64))

    def _frames_before(self, columns: dict[str, pa.Array], frames: np.ndarray) -> tuple:
        """(rows,) frames of the same shard before each row; and the batch's runs of one shard."""
        codes = columns["shard"].to_numpy()
        firsts = np.flatnonzero(np.diff(codes, prepend=-1))  # of each run
        goes_on = int(codes[0] == self._shard)
        for first in firsts[goes_on:].tolist():
            if self._seen[codes[first]]:
                raise DataError(
                    f"{self.path}: the rows of {self._names['shard'][codes[first]]} are not "
                    f"consecutive: {columns['utt_id'][first]} comes after another shard's"
                )
            self._seen[codes[first]] = True
        sizes = np.diff(np.append(firsts, len(codes)))
        before = np.cumsum(frames) - frames  # in the batch
        base = before[firsts]
        base[0] -= self._frames * goes_on
        starts = before - np.repeat(base, sizes)
        self._shard, self._frames = int(codes[-1]), int(starts[-1] + frames[-1])
        totals = np.add.reduceat(frames, firsts)
        runs = zip(codes[firsts].tolist(), (firsts + self._rows).tolist(), sizes.tolist(),
                   totals.tolist(), strict=True)  # fmt: skip
        return starts, [list(run) for run in runs]

    def _facts(self) -> dict[str, int | str]:
        content = {name: cells.hexdigests() for name, cells in self._hashes.items()}
        text = json.dumps([SCHEMA_VERSION, content, self._names], sort_keys=True)
        return {
            "schema_version": SCHEMA_VERSION,
            "rows": self._rows,
            "total_samples": self._samples,
            "num_batches": self._batches,
            "rows_per_batch": self._size,
            "arrow_bytes": self.path.stat().st_size,
            "fingerprint": hashlib.sha256(text.encode()).hexdigest(),
        }


class ColumnHash:
    """Hash of a column's cells, the same however they are cut into chunks."""

    def __init__(self) -> None:
        self._numbers, self._text = hashlib.sha256(), hashlib.sha256()

    def update(self, column: pa.Array) -> None:
        """Take in numbers, or the lengths of strings and their text."""
        if not pa.types.is_large_string(column.type):
            self._numbers.update(column.to_numpy())
            return
        _, offsets, text = column.buffers()
        offsets = np.frombuffer(offsets, np.int64)[column.offset :][: len(column) + 1]
        self._numbers.update(np.diff(offsets))
        if text is not None:
            self._text.update(memoryview(text)[offsets[0] : offsets[-1]])

    def hexdigests(self) -> list[str]:
        """Digests of the numbers and of the text."""
        return [self._numbers.hexdigest(), self._text.hexdigest()]
