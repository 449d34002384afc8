"""A codebook: centroids and the teacher they belong to, in one safetensors file.

The file's hash covers the teacher's identity too, so labels that name the hash name both.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from espnet2.data.labels import MAX_CLUSTERS
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.files import sha256_file, write_bytes

FILE = "codebook.safetensors"


@dataclass(frozen=True)
class Codebook:
    """K centroids of width D; cluster id = row."""

    centroids: np.ndarray  # (K, D) float32
    teacher: dict[str, Any]  # Teacher.identity() of the teacher they were fitted on
    sha256: str = ""  # of its file, once it has one

    def __post_init__(self) -> None:
        if self.centroids.ndim != 2 or not np.isfinite(self.centroids).all():
            raise DataError(
                f"centroids must be a finite (clusters, width) matrix, "
                f"got shape {self.centroids.shape}"
            )
        if len(self.centroids) > MAX_CLUSTERS:
            raise DataError(
                f"a codebook of {len(self.centroids):,} clusters does not fit 16-bit labels; "
                f"at most {MAX_CLUSTERS:,}"
            )

    @property
    def num_clusters(self) -> int:
        """K."""
        return len(self.centroids)

    @property
    def dim(self) -> int:
        """D."""
        return self.centroids.shape[1]


def save_codebook(folder: Path, codebook: Codebook) -> str:
    """Write the codebook atomically; returns the file's hash."""
    path = Path(folder) / FILE
    data = save(
        {"centroids": np.ascontiguousarray(codebook.centroids, dtype=np.float32)},
        metadata={"teacher": json.dumps(codebook.teacher, sort_keys=True)},
    )
    write_bytes(path, data)  # the library's own writer hides a full disk
    return sha256_file(path)


def load_codebook(folder: Path) -> Codebook:
    """Read what ``save_codebook`` wrote.

    Raises:
        DataError: missing, damaged, or not a codebook.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise DataError(f"{folder}: no {FILE}; run the kmeans stage")
    try:
        with safe_open(path, framework="numpy") as file:
            centroids = file.get_tensor("centroids")
            teacher = json.loads((file.metadata() or {})["teacher"])
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: not a readable codebook: {error}") from None
    return Codebook(centroids=centroids, teacher=teacher, sha256=sha256_file(path))


def check_teacher(codebook: Codebook, identity: dict[str, Any], dim: int) -> None:
    """Refuse a codebook that was fitted on another teacher than the one that will label.

    Raises:
        ConfigError: naming the first thing that differs.
    """
    for key in sorted(codebook.teacher.keys() | identity.keys()):
        fitted, asked = codebook.teacher.get(key), identity.get(key)
        if fitted != asked:
            raise ConfigError(
                f"the codebook belongs to another teacher: {key} was {fitted!r} when it was "
                f"fitted, the tokens section says {asked!r}; run the kmeans stage again"
            )
    if codebook.dim != dim:
        raise ConfigError(
            f"the codebook's centroids have {codebook.dim} dimensions, the teacher's frames {dim}"
        )
