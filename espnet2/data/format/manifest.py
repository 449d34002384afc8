"""Which utterance goes into which shard: ``shards/NNN.tsv``, split by seconds of audio.

Utterances are streamed in C order, and beside them the manifests of an earlier run, for the lengths
they know. What stays in memory is one shard's utterances, and a digest a shard.
"""

import contextlib
import filecmp
import functools
import glob
import hashlib
import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from espnet2.data.audio import duration_s
from espnet2.data.config import FormatConfig
from espnet2.data.kaldi import Utterance, check_kaldi, iter_kaldi, shown
from espnet2.data.pipes import is_pipe, parse_pipe
from espnet2.data.sources import source_path
from espnet2.data.tsv import read_rows, write_rows
from espnet2.utils.errors import DataError
from espnet2.utils.processes import is_running

MANIFEST_COLUMNS = (
    "utt_id", "recording", "source", "start_s", "end_s", "language", "speaker", "bytes", "seconds"
)  # fmt: skip
SAME_AUDIO = ("utt_id", "source", "start_s", "end_s", "bytes")
MAX_UTTERANCES = 100_000  # in a shard, whatever their length: missing audio has none
COMMAND_S = 10.0  # taken for the length of a command's audio, which only running it would tell


class Share(NamedTuple):
    """An utterance and what is known of its audio."""

    utterance: Utterance
    nbytes: int  # of the audio file; -1 if it is missing
    changed: int  # time of the file's last change, in ns
    seconds: float

    def row(self) -> tuple[str, ...]:
        """The values of MANIFEST_COLUMNS."""
        u = self.utterance
        end_s = "" if u.end_s is None else repr(u.end_s)
        return (u.utt_id, u.recording, u.source, repr(u.start_s), end_s, u.language, u.speaker,
                str(self.nbytes), repr(self.seconds))  # fmt: skip


def plan_shards(data: Path, out: Path, config: FormatConfig) -> dict[Path, str]:
    """Write ``shards/NNN.tsv``, the utterances of each shard, in C order of the ids.

    Lengths come from utt2dur, from the segments, from an earlier plan, from audio headers or, in
    Parquet, from the size of a row. Returns manifest -> digest of its rows and of the times of
    change of its audio. Raises DataError when ``data`` is not a valid directory; an earlier plan
    then stays as it is.
    """
    shards = out / "shards"
    utterances = with_lengths(valid(data, config.allow_pipes), EarlierLengths(shards))
    keep_together = data.name in config.vad_corpora
    digests = {}
    with staging(shards) as staged:  # the earlier manifests are read while these are written
        for number, shard in enumerate(split(utterances, config.shard_hours * 3600, keep_together)):
            name = f"{number:03d}.tsv"
            # Not synced: they are written at every start, and most are not new. After a crash of
            # the machine the next start finds what differs.
            rows = (share.row() for share in shard)
            write_rows(staged / name, MANIFEST_COLUMNS, rows, durable=False)
            digests[shards / name] = digest_of(shard)
        for path in digests:
            replace_if_new(staged / path.name, path)
    remove_stale(shards, len(digests))
    return digests


@contextlib.contextmanager
def staging(shards: Path) -> Iterator[Path]:
    """A folder of this process alone, for a while; those of killed processes are removed."""
    beginning = f".plan.{socket.gethostname()}."
    for left in shards.glob(glob.escape(beginning) + "*"):
        if not is_running(int(left.name.removeprefix(beginning))):
            shutil.rmtree(left, ignore_errors=True)
    folder = shards / f"{beginning}{os.getpid()}"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def valid(data: Path, allow_pipes: bool) -> Iterator[Utterance]:
    """The utterances of a directory. Raises DataError that lists all its problems."""
    try:
        yield from iter_kaldi(data, allow_pipes)
    except DataError as error:
        problems = check_kaldi(data, allow_pipes) or [str(error)]
        raise DataError(f"{data} is not a valid data directory:\n  {shown(problems)}") from None


def with_lengths(utterances: Iterable[Utterance], earlier: "EarlierLengths") -> Iterator[Share]:
    """The utterances with size, time and seconds of their audio."""
    stamp = functools.lru_cache(maxsize=1024)(stamp_of)  # arks and Parquet files hold many
    for utterance in utterances:
        size, changed = file_stamp(utterance.source, stamp)
        share = Share(utterance, size, changed, stated_seconds(utterance))
        if share.seconds is None:
            share = share._replace(seconds=earlier.seconds(share))
        if share.seconds is None:
            share = share._replace(seconds=seconds_of(utterance))
        yield share


def file_stamp(source: str, stamp: Callable[[str], tuple[int, int]] | None = None) -> tuple:
    """Size in bytes and time of the last change in ns of the file behind a source.

    Of a command: the sums over all its words that are files. stamp: a ``stamp_of`` that remembers.
    """
    stamp = stamp or stamp_of
    if not is_pipe(source):
        return stamp(source_path(source))
    words = [word for command in parse_pipe(source) for word in command]
    found = [about for word in words if (about := stamp(word))[0] >= 0]
    return tuple(map(sum, zip(*found, strict=True))) if found else (-1, 0)


def stamp_of(path: str) -> tuple[int, int]:
    """Size in bytes and time of the last change in ns; (-1, 0) where there is no file."""
    try:
        about = os.stat(path)
    except OSError:
        return -1, 0
    return (about.st_size, about.st_mtime_ns) if stat.S_ISREG(about.st_mode) else (-1, 0)


def stated_seconds(utterance: Utterance) -> float | None:
    """Seconds according to utt2dur or to the segment; None if neither says."""
    if utterance.duration_s is not None:
        return utterance.duration_s
    return None if utterance.end_s is None else utterance.end_s - utterance.start_s


def seconds_of(utterance: Utterance) -> float:
    """Seconds of an utterance for sharing out the work; 0 when its audio cannot be opened."""
    stated = stated_seconds(utterance)
    if stated is not None:
        return stated
    if is_pipe(utterance.source):
        return COMMAND_S
    try:
        return max(duration_s(utterance.source) - utterance.start_s, 0.0)
    except (OSError, DataError):
        return 0.0


class EarlierLengths:
    """Seconds of utterances according to the manifests of an earlier run, asked in C order."""

    def __init__(self, shards: Path):
        numbered = [path for path in shards.glob("*.tsv") if path.stem.isdigit()]
        manifests = sorted(numbered, key=lambda path: int(path.stem))
        self._rows = (row for path in manifests for row in read_rows(path))
        self._row = next(self._rows, None)

    def seconds(self, share: Share) -> float | None:
        """Seconds, if the same stretch of the same source with as many bytes was there."""
        wanted = share.utterance.utt_id.encode()
        while self._row is not None and self._row["utt_id"].encode() < wanted:
            self._row = next(self._rows, None)
        if self._row is None:
            return None
        asked = dict(zip(MANIFEST_COLUMNS, share.row(), strict=True))
        is_same = all(self._row[name] == asked[name] for name in SAME_AUDIO)
        return float(self._row["seconds"]) if is_same else None


def split(shares: Iterable[Share], shard_s: float, keep_together: bool) -> Iterator[list[Share]]:
    """The utterances of one shard after the other, of at most ``shard_s`` seconds if more than one.

    keep_together: recordings are to be cut, and the segments of all shards are to be in C order.
    Those of ``a`` and of ``a-1`` may be interleaved, so such neighbours share a shard.
    """
    shard: list[Share] = []
    total_s, head = 0.0, ""
    for share in shares:
        utt_id = share.utterance.utt_id
        joined = bool(keep_together and head and utt_id.startswith(head)
                      and utt_id[len(head)] <= "-")  # fmt: skip
        head = head if joined else utt_id
        is_full = total_s + share.seconds > shard_s or len(shard) >= MAX_UTTERANCES
        if shard and is_full and not joined:
            yield shard
            shard, total_s = [], 0.0
        shard.append(share)
        total_s += share.seconds
    if shard:
        yield shard


def digest_of(shard: list[Share]) -> str:
    """Digest of a manifest's rows, and of when the audio changed."""
    digest = hashlib.sha256()
    for share in shard:
        digest.update("\t".join((*share.row(), f"{share.changed}\n")).encode())
    return digest.hexdigest()


def replace_if_new(new: Path, path: Path) -> None:
    """Move ``new`` to ``path`` unless that holds the same."""
    if not path.is_file() or not filecmp.cmp(new, path, shallow=False):
        os.replace(new, path)


def remove_stale(shards: Path, count: int) -> None:
    """Delete shards of an earlier run beyond the ``count`` of this one."""
    for path in shards.iterdir():
        number = path.name.lstrip(".").split(".")[0]
        if number.isdigit() and int(number) >= count:
            path.unlink(missing_ok=True)
