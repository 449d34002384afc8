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
STORY = "codebook.json"  # beside it: where it comes from; written last
SHOWN = 12  # digits of a hash in a message


@dataclass(frozen=True)
class Codebook:
    """K centroids of width D; cluster id = row."""

    centroids: np.ndarray  # (K, D) float32
    teacher: dict[str, Any]  # Teacher.identity() of the teacher they were fitted on
    sha256: str = ""  # of its file, once it has one

    def __post_init__(self) -> None:
        if self.centroids.ndim != 2 or 0 in self.centroids.shape:
            raise DataError(
                f"centroids must be a (clusters, width) matrix, got shape {self.centroids.shape}"
            )
        if len(self.centroids) > MAX_CLUSTERS:
            raise DataError(
                f"a codebook of {len(self.centroids):,} clusters does not fit 16-bit labels; "
                f"at most {MAX_CLUSTERS:,}"
            )
        bad = np.flatnonzero(~np.isfinite(self.centroids).all(axis=1))
        if bad.size:
            raise DataError(
                f"{bad.size:,} of {len(self.centroids):,} centroids are not finite, "
                f"first number {bad[0]}"
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
        return Codebook(centroids=centroids, teacher=teacher, sha256=sha256_file(path))
    except KeyError as error:
        raise DataError(f"{path}: not a codebook of ours: it names no {error}") from None
    except (SafetensorError, json.JSONDecodeError) as error:
        raise DataError(
            f"{path}: damaged, or no codebook ({error}); make it again with the kmeans stage"
        ) from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def check_teacher(codebook: Codebook, identity: dict[str, Any], dim: int) -> None:
    """Refuse a codebook that was fitted on another teacher than the one that will label.

    Raises:
        ConfigError: naming what differs.
    """
    keys = sorted(codebook.teacher.keys() | identity.keys())
    if codebook.teacher.get("teacher") != identity.get("teacher"):
        keys = ["teacher"]  # whose other keys have other meanings
    differences = [
        f"{key} was {shown(codebook.teacher.get(key))} when it was fitted, is "
        f"{shown(identity.get(key))} now"
        for key in keys
        if codebook.teacher.get(key) != identity.get(key)
    ]
    if differences:
        raise ConfigError(
            f"the codebook belongs to another teacher: {'; '.join(differences)}; set section "
            f"tokens as it was, or run the kmeans stage again"
        )
    if codebook.dim != dim:
        raise ConfigError(
            f"the codebook's centroids have {codebook.dim} dimensions, the teacher's frames {dim}"
        )


def shown(value: Any) -> str:
    """A value for a message; of a hash the beginning."""
    if isinstance(value, str) and len(value) == 64:
        return f"{value[:SHOWN]}…"
    return "not set" if value is None else repr(value)
