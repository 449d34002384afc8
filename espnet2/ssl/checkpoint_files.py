"""Checkpoint files: what lies on the disk becomes tensors by name, and none of it is run.

A file is recognised by its first bytes. What users often hold instead of a checkpoint (a Git LFS
pointer, a saved web page, a cut download) is named in one sentence.
"""

from __future__ import annotations

import datetime
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from espnet2.utils.errors import CheckpointError

# Keys under which training tools keep the model: our own and ESPnet's loop, DeepSpeed, Lightning.
CONTAINERS = ("model", "module", "state_dict", "model_state_dict")
# Wrappers write themselves into the names of what they wrap, anywhere in the model.
WRAPPERS = ("_orig_mod.", "_checkpoint_wrapped_module.", "_fsdp_wrapped_module.")
# First parts of names that belong to a model, in either layout.
PARTS = ("frontend", "normalize", "preencoder", "encoder", "masker", "util_modules", "losses")
SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")
HUGGING_FACE = "model.safetensors"  # the weights in a folder of theirs
HEAD_BYTES = 512  # enough to tell one kind of file from another
TORCH_PICKLE = b"\x80\x02"  # torch before 1.6 wrote pickles of protocol 2
MAX_DEPTH = 8  # of containers; a file may hold one that holds itself

# Beside tensors, ESPnet's resume files hold durations and numpy numbers; making them runs no code.
NUMPY_SCALAR = np.float64(0).__reduce__()[0]
HARMLESS = [
    datetime.timedelta,
    np.dtype,
    *(type(np.dtype(name)) for name in ("float64", "float32", "int64")),
    (NUMPY_SCALAR, "numpy._core.multiarray.scalar"),
    (NUMPY_SCALAR, "numpy.core.multiarray.scalar"),  # written with numpy 1
]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A file's tensors, and what was around them."""

    path: Path
    """The file."""

    kind: str
    """zip, pickle (torch before 1.6) or safetensors."""

    containers: tuple[str, ...]
    """Keys and prefixes around the tensors, outermost first: ("model", "module.")."""

    tensors: dict[str, Tensor]
    """The tensors, mapped from the file, under their names without containers and prefixes."""

    step: int | None
    """Optimiser steps it was trained for, where the file says so."""

    others: tuple[str, ...]
    """What else the containers hold: optimizer, config, ..."""


def read_checkpoint(path: Path | str) -> Checkpoint:
    """The tensors in a file; they are mapped, so only what is used is read.

    Raises:
        CheckpointError: there is none, or it is cut, carries code, or holds no named tensors.
    """
    path = Path(path)
    kind = kind_of(path)
    content: Any
    containers: list[str] = []
    others: list[str] = []
    step = None
    if kind == "safetensors":
        content, step = load_safetensors(path)
    else:
        content = load_torch(path, kind)
    while inner := inner_key(content, len(containers)):
        containers.append(inner)
        others += [str(key) for key in content if key != inner]
        step = whole_number(content, step)
        content = content[inner]
    tensors = named_tensors(content, path)
    while prefix := common_prefix(tensors):
        containers.append(prefix)
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return Checkpoint(
        path=path, kind=kind, containers=tuple(containers), tensors=tensors,
        step=whole_number(tensors, step), others=tuple(others),
    )  # fmt: skip


def weights_file(path: Path | str) -> Path:
    """``path`` itself, or the weights in it where it is a Hugging Face folder."""
    path = Path(path)
    return path / HUGGING_FACE if (path / HUGGING_FACE).is_file() else path


def inner_key(content: object, depth: int) -> str | None:
    """The key under which a container holds the next one; None for the innermost."""
    if not isinstance(content, Mapping) or depth == MAX_DEPTH:
        return None
    return next((key for key in CONTAINERS if isinstance(content.get(key), Mapping)), None)


def whole_number(content: Mapping[Any, Any], default: int | None) -> int | None:
    """The step counter in a container (ours: step; ESPnet's and Lightning's: global_step)."""
    for key in ("step", "global_step"):
        value: Any = content.get(key)
        if type(value) is int:
            return value
        is_count = isinstance(value, Tensor) and value.numel() == 1
        if is_count and not value.is_floating_point() and not value.is_meta:
            return int(value)
    return default


def named_tensors(content: object, path: Path) -> dict[str, Tensor]:
    """The innermost container as tensors by name, without the marks of wrappers.

    Raises CheckpointError where something in it is no tensor or has no name of its own.
    """
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path} holds no named tensors, but {describe(content)}")
    tensors = {}
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            wrong = f"{key!r} is no tensor, but {describe(value)}"
            if not isinstance(key, str):
                wrong = f"{key!r} is no name"
            raise CheckpointError(
                f"{path} holds no named tensors, but {describe(content)}: {wrong}"
            )
        name = key
        for wrapper in WRAPPERS:
            name = name.replace(wrapper, "")
        if name in tensors:
            raise CheckpointError(f"{path} holds {name} twice, once wrapped")
        tensors[name] = value
    return tensors


def describe(value: object) -> str:
    """What a value is, in a few words."""
    if isinstance(value, Mapping):
        keys = ", ".join(str(key) for key in list(value)[:3])
        return f"a mapping of {keys}{', ...' if len(value) > 3 else ''}" if value else "nothing"
    return f"one {type(value).__name__}"


def common_prefix(tensors: Mapping[str, Tensor]) -> str | None:
    """What every name begins with, up to its first dot, unless it is a part of the model."""
    heads = {name.partition(".")[0] + "." if "." in name else "" for name in tensors}
    head = heads.pop() if len(heads) == 1 else ""
    return head if head and head[:-1] not in PARTS else None


def kind_of(path: Path) -> str:
    """zip, pickle or safetensors, by the first bytes.

    Raises CheckpointError where it is none of them, saying what it is.
    """
    if path.is_dir():
        inside = sorted(p for p in [*path.glob("*"), *path.glob("*/*")] if p.suffix in SUFFIXES)
        example = f", such as {inside[0]}" if inside else ""
        raise CheckpointError(f"{path} is a folder: name the checkpoint file in it{example}")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint file")
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    if head.startswith(b"PK\x03\x04"):
        check_zip(path)
        return "zip"
    if head.startswith(TORCH_PICKLE):
        return "pickle"
    if head[4:9] == b"\0\0\0\0{":  # eight bytes of length, far below 4 GB, then JSON
        return "safetensors"
    raise CheckpointError(f"{path} {what_is_wrong(head)}")


def what_is_wrong(head: bytes) -> str:
    """What a file that begins with ``head`` is instead of a checkpoint, and what to do."""
    if not head:
        return "is empty: fetch it again"
    if head.startswith(b"version https://git-lfs"):
        size = re.search(rb"size (\d+)", head)
        missing = f" ({int(size[1]) / 1e9:.2f} GB are missing)" if size else ""
        return f"is a Git LFS pointer, not the checkpoint{missing}: run 'git lfs pull' there"
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        return "is a web page, not a checkpoint: on Hugging Face, fetch /resolve/, not /blob/"
    if head[0] == TORCH_PICKLE[0] and len(head) > 1 and head[1] <= 5:
        return "is a pickle that torch did not write: it is refused, reading it could run code"
    if all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        return f"is a text file, not a checkpoint: it begins {head[:20].decode(errors='replace')!r}"
    return "is not a checkpoint: it is neither a torch nor a safetensors file"


def check_zip(path: Path) -> None:
    """Refuse a zip file that is cut, packed or not torch's."""
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise CheckpointError(f"{path} is cut or damaged: fetch it again") from None
    names = [record.filename for record in records]
    if any(name.endswith("/constants.pkl") for name in names):
        raise CheckpointError(f"{path} is a TorchScript program, which is refused: it holds code")
    if not any(name.endswith("/data.pkl") for name in names):
        inside = next((name for name in names if name.endswith(SUFFIXES)), "the .pth")
        raise CheckpointError(f"{path} is a zip archive: unpack it and name {inside} in it")
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise CheckpointError(f"{path} is compressed, which torch never does: it is refused")


def load_safetensors(path: Path) -> tuple[dict[str, Tensor], int | None]:
    """What a safetensors file holds, and its step, which stage 9 writes beside the tensors."""
    try:
        with safe_open(path, "pt") as file:
            step = re.fullmatch(r"\d{1,18}", (file.metadata() or {}).get("step", ""))
        return load_file(path), int(step[0]) if step else None
    except SafetensorError:
        raise CheckpointError(f"{path} is cut or damaged: fetch it again") from None


def load_torch(path: Path, kind: str) -> object:
    """What a torch file holds: tensors, plain values and containers only."""
    try:
        with torch.serialization.safe_globals(HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=kind == "zip")
    except Exception as error:  # damage surfaces as any kind of error in torch's reader
        raise CheckpointError(f"{path} {why_unreadable(error)}") from error


def why_unreadable(error: Exception) -> str:
    """What torch's reader stumbled over, and what to do."""
    asked = re.search(r"(?:GLOBAL|Unsupported class) (\S+)", str(error))
    if asked:
        return f"holds more than tensors and is refused: reading it would run {asked[1]}"
    if isinstance(error, UnpicklingError):
        return "is damaged or holds more than tensors, which is refused: reading it could run code"
    return "is cut or damaged: fetch it again"
