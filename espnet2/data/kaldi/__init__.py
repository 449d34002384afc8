"""Kaldi data directories: the front door.

A directory holds ``wav.scp`` (recording or utterance -> path, ark:offset, parquet:row or command)
and, as needed, ``segments`` (utterance -> recording start end), ``text``, ``utt2spk``, ``spk2utt``,
``utt2lang`` (ISO 639-3) and ``utt2dur`` (seconds). Every file is UTF-8, one ``id value`` a line,
sorted by the bytes of the id, so files of any length are walked in step.
"""

import hashlib
from pathlib import Path

from espnet2.data.kaldi.check import check_kaldi
from espnet2.data.kaldi.rows import Utterance, iter_kaldi
from espnet2.data.kaldi.tables import entries
from espnet2.data.kaldi.write import write_kaldi, write_table
from espnet2.data.pipes import is_pipe
from espnet2.data.sources import source_file
from espnet2.utils.errors import DataError

MAX_SHOWN_PROBLEMS = 20

__all__ = [
    "Utterance", "audio_listing", "audio_tables", "check_kaldi", "count_utterances", "iter_kaldi",
    "read_kaldi", "shown", "write_kaldi", "write_table",
]  # fmt: skip


def read_kaldi(folder: Path, allow_pipes: bool = False) -> list[Utterance]:
    """All utterances of a directory that fits in memory, in C order. Audio need not exist.

    Raises DataError listing the problems, each with file and line.
    """
    problems = check_kaldi(folder, allow_pipes)
    if problems:
        raise DataError(f"{folder} is not a valid data directory:\n  {shown(problems)}")
    return list(iter_kaldi(folder, allow_pipes))


def shown(problems: list[str]) -> str:
    """Problems, one a line; the first of very many."""
    more = len(problems) - MAX_SHOWN_PROBLEMS
    lines = problems[:MAX_SHOWN_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])
    return "\n  ".join(lines)


def audio_tables(folder: Path) -> list[Path]:
    """The tables that say what is heard: wav.scp, and segments of it where there are any."""
    return [path for name in ("wav.scp", "segments") if (path := Path(folder) / name).is_file()]


def count_utterances(folder: Path) -> int:
    """How many utterances a directory has: a line each, of segments or else of wav.scp."""
    return sum(1 for _ in entries(audio_tables(folder)[-1]))


def audio_listing(folder: Path) -> str:
    """Digest of path, size and time of change of all audio: a replaced file is noticed."""
    wav = Path(folder) / "wav.scp"
    if not wav.is_file():
        return "missing"
    digest, last = hashlib.sha256(), None
    for entry in entries(wav):
        path = None if is_pipe(entry.value) else source_file(entry.value)
        if path is not None and path != last:  # an ark holds many utterances
            digest.update(repr((str(path), *size_and_time(path))).encode())
        last = path
    return digest.hexdigest()


def size_and_time(path: Path) -> tuple[int, ...]:
    """Bytes and time of change (ns) of a file; empty where there is none."""
    if not path.is_file():
        return ()
    about = path.stat()
    return about.st_size, about.st_mtime_ns
