"""Labels of a set: one cluster id a frame, flat uint16 files aligned with the index.

``<folder>/<shard with / as .>.u16`` holds the rows of one shard in index order, nothing between
them; row i is as long as its audio says (``frames.num_frames``). ``labels.json`` says which
teacher, which codebook and which index they belong to, and is written last: no sidecar, no labels.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from espnet2.data.index import Index
from espnet2.data.shards import ShardReader
from espnet2.utils.config import from_dict, to_dict
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json, write_bytes, write_json

MAX_CLUSTERS = 2**16  # what uint16 can count
DTYPE = np.dtype("<u2")
SIDECAR = "labels.json"


@dataclass(frozen=True, kw_only=True)
class LabelsInfo:
    """The sidecar: what a label set belongs to."""

    num_clusters: int
    """Ids are 0 … num_clusters - 1, the row numbers of the codebook."""

    teacher: str
    """Name of the teacher."""

    layer: int
    """Its layer; 0 is its input."""

    codebook_sha256: str
    """Content hash of the codebook file."""

    index_sha256: str
    """Fingerprint of the index the labels follow row by row."""

    def __post_init__(self) -> None:
        if not 1 <= self.num_clusters <= MAX_CLUSTERS:
            raise DataError(
                f"labels are 16-bit: num_clusters must be 1 to {MAX_CLUSTERS:,}, "
                f"got {self.num_clusters:,}"
            )


class LabelStore:
    """Labels of an index, read by position. Picklable: a worker opens the files again."""

    def __init__(self, index: Index, folder: Path, info: LabelsInfo) -> None:
        self.index, self.folder, self.info = index, folder, info
        self._files = ShardReader(folder)

    @classmethod
    def open(cls, index: Index, folder: Path | str) -> "LabelStore":
        """Labels in ``folder`` for ``index``; no row is looked at, only the size of every file.

        Raises:
            DataError: no labels, of another index, a shard's file missing, cut or too long.
        """
        folder = Path(folder)
        info = read_info(folder)
        if info.index_sha256 != index.fingerprint:
            raise DataError(
                f"{folder}: labels of another index than {index.path}; run the label stage again"
            )
        for shard in index.each_shard():
            check_size(labels_file(folder, shard.name), shard.frames)
        return cls(index, folder, info)

    def labels(self, i: int) -> np.ndarray:
        """(frames,) uint16, the cluster ids of row ``i``; read-only."""
        name = labels_file(self.folder, self.index.shards[i]).name
        start, frames = int(self.index.label_starts[i]), self.index.frames_of(i)
        try:
            data = self._files.read(name, start * DTYPE.itemsize, frames * DTYPE.itemsize)
        except OSError as error:
            raise DataError(f"{self.index.utt_ids[i]}: labels: {error}") from None
        return np.frombuffer(data, DTYPE)

    def __len__(self) -> int:
        return len(self.index)

    def __reduce__(self):
        return LabelStore, (self.index, self.folder, self.info)


def labels_file(folder: Path, shard: str) -> Path:
    """Where the labels of a shard lie."""
    return Path(folder) / f"{shard.replace('/', '.')}.u16"


def write_labels(path: Path, ids: np.ndarray) -> None:
    """Write the ids of one shard (frames,) atomically.

    A sidecar goes first: it spoke of the old ids, and with a part of them new the set is none.
    """
    (path.parent / SIDECAR).unlink(missing_ok=True)
    write_bytes(path, np.ascontiguousarray(ids, dtype=DTYPE).tobytes())


def write_info(folder: Path, info: LabelsInfo, **more: Any) -> None:
    """Write the sidecar; ``more`` is kept for people, not read back."""
    write_json(Path(folder) / SIDECAR, {**to_dict(info), "provenance": more})


def read_info(folder: Path) -> LabelsInfo:
    """The sidecar of a label set."""
    path = Path(folder) / SIDECAR
    if not path.is_file():
        raise DataError(f"{folder}: no {SIDECAR}, so no complete labels; run the label stage")
    data = read_json(path)
    return from_dict(LabelsInfo, {k: v for k, v in data.items() if k != "provenance"}, str(path))


def check_size(path: Path, frames: int) -> None:
    """Raise DataError unless ``path`` holds exactly ``frames`` labels."""
    try:
        size, expected = os.stat(path).st_size, frames * DTYPE.itemsize
    except FileNotFoundError:
        raise DataError(f"{path}: missing; run the label stage again") from None
    if size != expected:
        what = "cut short" if size < expected else "too long"
        raise DataError(
            f"{path}: {what}: {size:,} bytes, {frames:,} frames need {expected:,}; "
            "delete it and run the label stage again"
        )
