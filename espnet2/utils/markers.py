"""Done-markers: small JSON files that say that a unit is done, and for which fingerprint."""

import os
from pathlib import Path
from typing import Any

from espnet2.utils.files import read_json, write_json


def write_marker(path: Path, print_: str, outputs: list[Path], result: Any) -> None:
    """Say that the work of fingerprint ``print_`` is done; outputs are noted relative to it."""
    names = [os.path.relpath(output, path.parent) for output in outputs]
    write_json(path, {"fingerprint": print_, "outputs": names, "result": result})


def read_marker(path: Path) -> dict[str, Any] | None:
    """The marker's content, or None where there is none or a damaged one."""
    try:
        return read_json(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def stands(marker: dict[str, Any] | None, path: Path, print_: str) -> bool:
    """Whether a marker read from ``path`` is for ``print_``, with every output in place."""
    if marker is None or marker.get("fingerprint") != print_:
        return False
    folder = os.path.dirname(path)  # os.path, not Path: there may be 10^5 markers to look at
    return all(os.path.exists(os.path.join(folder, name)) for name in marker["outputs"])
