"""Codebooks that other programs wrote become ours: arrays, safetensors, scikit-learn's pickles.

ESPnet's and fairseq's ``learn_kmeans.py`` write a joblib pickle of a MiniBatchKMeans. A pickle is a
program: reading it runs what is in it, so it is read only where the user trusts who made it.

Shapes: K clusters, D width.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from espnet2.tokens.codebook import FILE, STORY, Codebook, save_codebook
from espnet2.tokens.config import TokensConfig
from espnet2.tokens.teachers.registry import build_teacher
from espnet2.utils.config import to_dict
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.files import sha256_file, write_json
from espnet2.utils.logs import log
from espnet2.utils.provenance import provenance

NAME = "centroids"  # of the array, in a file that holds several


def convert_codebook(file: Path, out: Path, config: TokensConfig, trust: bool = False) -> Codebook:
    """Write the codebook in ``file`` to the folder ``out`` as one of the configured teacher.

    trust: read a pickle, which runs the code in it.
    Raises:
        ConfigError: ``out`` holds a codebook, or the file's is not of the teacher's width or of
            ``num_clusters``.
        DataError: the file cannot be read, or is a pickle and not trusted.
    """
    if (out / FILE).exists():
        raise ConfigError(f"{out} holds a codebook already; remove it, or give another folder")
    found = read_centroids(file, trust)
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused
        centroids = np.ascontiguousarray(found, dtype=np.float32)
    try:
        Codebook(centroids=centroids, teacher={})
    except DataError as error:
        raise DataError(f"{file}: {error}") from None
    teacher = build_teacher(config.teacher, config.teacher_conf)
    check_shape(file, centroids.shape, (config.num_clusters, teacher.dim), config.teacher)
    rounded = float(np.abs(found - centroids.astype(np.float64)).max())
    codebook = Codebook(centroids=centroids, teacher=teacher.identity())
    story = {
        "sha256": save_codebook(out, codebook), "teacher": codebook.teacher,
        "config": to_dict(config),
        "converted_from": {
            "file": str(file.absolute()), "sha256": sha256_file(file), "dtype": str(found.dtype),
            "largest_rounding": rounded,
        },
        "provenance": provenance(),
    }  # fmt: skip
    write_json(out / STORY, story)
    exact = f"rounded to float32 by at most {rounded:.2g}" if rounded else "exactly"
    log(f"{file}: {len(centroids):,} centroids of {teacher.dim} {found.dtype} numbers, {exact}")
    return codebook


def check_shape(file: Path, found: tuple, asked: tuple, teacher: str) -> None:
    """Refuse a codebook (K, D) that section tokens does not describe."""
    if found[1] != asked[1]:
        raise ConfigError(
            f"{file}: its centroids have {found[1]} dimensions, frames of teacher {teacher} have "
            f"{asked[1]}: another teacher, or another layer's codebook"
        )
    if found[0] != asked[0]:
        raise ConfigError(
            f"{file}: has {found[0]:,} centroids, section tokens asks for {asked[0]:,}; set "
            f"num_clusters: {found[0]}"
        )


def read_centroids(file: Path, trust: bool) -> np.ndarray:
    """The (K, D) centroids in a file, in the type they have there.

    Raises:
        DataError: there is none, it is damaged, holds something else, or is a pickle that is not
            trusted.
    """
    file = Path(file)
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    if file.suffix == ".safetensors":
        values = read_safetensors(file)
    elif file.suffix in (".npy", ".npz"):
        values = read_arrays(file)
    else:
        values = read_pickle(file, trust)
    values = np.asarray(values)
    if values.dtype.kind != "f":
        raise DataError(f"{file}: centroids must be floating-point numbers, got {values.dtype}")
    return values


def read_arrays(file: Path) -> np.ndarray:
    """The array of a .npy or .npz file; no pickle in it is run."""
    try:
        content = np.load(file, allow_pickle=False)
        return content if isinstance(content, np.ndarray) else only(file, content)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file}: not a readable array without pickle: {error}") from None


def read_safetensors(file: Path) -> np.ndarray:
    """The tensor of a .safetensors file."""
    try:
        return only(file, load_file(file))
    except (SafetensorError, TypeError) as error:  # TypeError: bfloat16
        raise DataError(
            f"{file}: not a readable safetensors file of float16, float32 or float64: {error}"
        ) from None


def only(file: Path, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The array called centroids, or the single one."""
    names = list(arrays)
    if NAME in names or len(names) == 1:
        return arrays[NAME if NAME in names else names[0]]
    raise DataError(f"{file}: holds no array {NAME!r} but {', '.join(names) or 'none at all'}")


def read_pickle(file: Path, trust: bool) -> Any:
    """``cluster_centers_`` of the object in a joblib or pickle file.

    Raises:
        ConfigError: joblib is not installed.
        DataError: not trusted, or nothing of that kind.
    """
    if not trust:
        raise DataError(
            f"{file}: taken for a pickle, and reading one runs whatever code is in it; if you "
            f"trust who made it, add --trust (arrays in .npy, .npz or .safetensors need no trust)"
        )
    try:
        import joblib
    except ImportError:
        raise ConfigError(
            "joblib is needed to read a pickled codebook: pip install 'xeus[teachers]'"
        ) from None
    log(f"warning: {file}: reading a pickle runs the code in it, as --trust allows")
    try:
        model = joblib.load(file)
    except Exception as error:  # a pickle runs code: it can fail in any way
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise DataError(
            f"{file}: not readable as a joblib or pickle file; it may need the package it was "
            f"made with ({reason})"
        ) from None
    if not hasattr(model, "cluster_centers_"):
        raise DataError(
            f"{file}: holds a {type(model).__name__} without cluster_centers_, no fitted k-means"
        )
    return model.cluster_centers_
