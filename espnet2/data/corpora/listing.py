"""Files of a corpus: one after the other in a fixed order, and a digest of all of them."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from espnet2.utils.logs import log

SAID_EVERY = 1_000_000  # files, a minute or more of a network's file system


def files_below(folder: Path) -> Iterator[os.DirEntry]:
    """Every file below ``folder``, hidden ones left out, in C order of the names of each folder.

    Links are followed, but not into a folder that is being read already. In memory is one folder.
    """
    yield from _walk(str(folder), ())


def _walk(folder: str, above: tuple[tuple[int, int], ...]) -> Iterator[os.DirEntry]:
    about = os.stat(folder)
    here = (about.st_dev, about.st_ino)
    if here in above:
        return
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    for entry in ordered:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry.path, (*above, here))
        elif entry.is_file():
            yield entry


def listing_digest(folder: Path) -> str:
    """Digest of names, sizes and times of change of the files below ``folder``.

    Of a Kaldi data directory the files directly in it count: stage 2 looks at the audio.
    """
    digest = hashlib.sha256()
    folder = Path(folder)
    if not folder.is_dir():
        return "missing"
    entries = files_below(folder)
    if (folder / "wav.scp").is_file():
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        entries = (entry for entry in entries if entry.is_file())
    for number, entry in enumerate(entries, 1):
        if number % SAID_EVERY == 0:
            log(f"{folder}: {number:,} files looked at")
        about = entry.stat()
        digest.update(os.fsencode(os.path.relpath(entry.path, folder)))
        digest.update(f"\0{about.st_size}\0{about.st_mtime_ns}\n".encode())
    return digest.hexdigest()
