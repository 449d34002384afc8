"""Features of one split that serve another with the same audio: links, nothing is computed."""

import os
import shutil
from pathlib import Path

from espnet2.utils.files import atomic_path, read_json
from espnet2.utils.logs import log


def share_features(source: Path, out: Path) -> dict[str, int]:
    """Put the features of ``source`` into ``out``: hard links, or copies where there are none.

    ``features.json`` comes last: a folder that has it is whole.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "features.json").unlink(missing_ok=True)
    for path in out.glob("*.bin"):
        path.unlink()
    chunks = read_json(source / "features.json")["chunks"]
    names = sorted(path.name for path in source.iterdir() if is_ours(path))
    for name in [*names, *chunks, "features.json"]:
        with atomic_path(out / name) as part:
            link_or_copy(source / name, part)
    log(f"features {out}: those of {source}, {len(chunks)} files")
    return {"files": len(chunks)}


def is_ours(path: Path) -> bool:
    """Whether a file says something about the features (dropped.tsv, settings)."""
    return path.suffix in (".tsv", ".json") and path.name != "features.json" and path.name[0] != "."


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link, or a copy on a file system without them."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
