"""Writes that are whole or absent, and content hashes.

Readers see the old file or the new one, never half of either, even after SIGKILL or a full disk.
"""

import contextlib
import glob
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from espnet2.utils.errors import DataError


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is synced and renamed to ``path``.

    The name carries host and process, so two processes never write to one temporary file, and what
    a killed process left behind is known and removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    part = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.part")
    try:
        yield part
        sync(part)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        raise


def remove_leftovers(path: Path) -> None:
    """Delete temporary files of ``path`` whose process on this host has ended."""
    beginning = f".{path.name}.{socket.gethostname()}."
    for entry in path.parent.glob(glob.escape(beginning) + "*.part"):
        process = entry.name.removeprefix(beginning).removesuffix(".part")
        if process.isdigit() and not Path(f"/proc/{process}").exists():
            entry.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Force a written file to the disk; without it a rename can survive a crash that loses data."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` atomically; a file that already holds it is left untouched."""
    path = Path(path)
    if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
        return
    with atomic_path(path) as part:
        part.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically; unchanged content leaves the file untouched."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys, atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


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
