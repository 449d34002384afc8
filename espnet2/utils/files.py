"""Writes that are whole or absent, and content hashes.

Readers see the old file or the new one, never half of either, even after SIGKILL or a full disk.
"""

import contextlib
import errno
import hashlib
import json
import os
import socket
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from espnet2.utils.errors import DataError
from espnet2.utils.processes import is_running

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_cleaned: set[Path] = set()  # folders in which this process has looked for leftovers


@contextlib.contextmanager
def atomic_path(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is synced and renamed to ``path``.

    The name carries host and process, so two processes never write to one temporary file, and what
    a killed process left behind is known and removed. Without ``durable`` nothing is synced: for
    files that are made again after a crash of the machine.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    part = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.part")
    try:
        yield part
        if durable:
            sync(part)
        os.replace(part, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            error.filename = str(path)  # a write knows only that some disk is full
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        raise


def remove_leftovers(folder: Path, own: Collection[str] = ()) -> None:
    """Delete temporary files in ``folder`` whose process on this host has ended.

    Of the files ``own``, which nobody else may be writing now, those of any host: a killed job of a
    cluster is done again on another. Without ``own`` once a folder and process: with 10^5 files in
    it, a look at every write would take longer than the writes.
    """
    folder = folder.absolute()
    if folder in _cleaned and not own:
        return
    _cleaned.add(folder)
    host, own_beginnings = socket.gethostname(), tuple(f".{name}." for name in own)
    for name in os.listdir(folder):
        if not name.endswith(".part"):
            continue
        beginning, _, process = name.removesuffix(".part").rpartition(".")
        ours = beginning.startswith(".") and beginning.endswith(f".{host}") and process.isdigit()
        is_dead = ours and not is_running(int(process))
        if is_dead or (name.startswith(own_beginnings) and process.isdigit()):
            (folder / name).unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Force a written file to the disk; without it a rename can survive a crash that loses data."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes, durable: bool = True) -> None:
    """Write ``data`` atomically; a file that already holds it is left untouched."""
    path = Path(path)
    if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
        return
    with atomic_path(path, durable) as part:
        part.write_bytes(data)


def write_text(path: Path, text: str, durable: bool = True) -> None:
    """Write ``text`` as UTF-8, atomically; unchanged content leaves the file untouched."""
    write_bytes(path, text.encode("utf-8"), durable)


def write_json(path: Path, value: Any, durable: bool = True) -> None:
    """Write ``value`` as indented JSON with sorted keys, atomically."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_text(path, text, durable)


def read_json(path: Path) -> Any:
    """The value in a JSON file; a damaged file is a ``DataError`` that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno} is not valid JSON: {error.msg}") from None


def sha256_file(path: Path) -> str:
    """Hex digest of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """Hex digest of a text in UTF-8."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
