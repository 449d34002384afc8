"""Which utterance goes into which shard: ``shards/NNN.tsv``, split by seconds of audio."""

from pathlib import Path
from typing import NamedTuple

from espnet2.data.audio import duration_s, source_file
from espnet2.data.kaldi import Utterance, read_kaldi
from espnet2.data.tsv import read_rows, write_rows
from espnet2.utils.errors import DataError
from espnet2.utils.files import sha256_text

MANIFEST_COLUMNS = (
    "utt_id", "recording", "source", "start_s", "end_s", "language", "speaker", "bytes", "seconds"
)  # fmt: skip


class Share(NamedTuple):
    """An utterance and what is known of its audio."""

    utterance: Utterance
    nbytes: int  # of the audio file; -1 if it is missing
    changed: int  # time of the file's last change, in ns
    seconds: float


def plan_shards(data: Path, out: Path, shard_hours: float) -> dict[Path, str]:
    """Write ``shards/NNN.tsv``, the utterances of each shard, in C order of the ids.

    Durations come from utt2dur, from the segments, from an earlier plan, or from audio headers.
    Returns manifest -> digest of its audio files' sizes and times of change.
    """
    known = known_durations(out)
    shards, total_s = [[]], 0.0
    for utterance in read_kaldi(data):
        size, changed = file_stamp(utterance.source)
        seconds = seconds_of(utterance, size, known)
        if shards[-1] and total_s + seconds > shard_hours * 3600:
            shards.append([])
            total_s = 0.0
        shards[-1].append(Share(utterance, size, changed, seconds))
        total_s += seconds
    remove_stale(out, len(shards))
    return {
        write_manifest(out, number, shard): sha256_text("\n".join(str(s.changed) for s in shard))
        for number, shard in enumerate(shards)
    }


def file_stamp(source: str) -> tuple[int, int]:
    """Size in bytes and time of the last change in ns; (-1, 0) for a missing file."""
    try:
        stat = source_file(source).stat()
    except OSError:
        return -1, 0
    return stat.st_size, stat.st_mtime_ns


def seconds_of(utterance: Utterance, size: int, known: dict[tuple[str, str], float]) -> float:
    """Seconds of an utterance for sharing out the work; 0 when its audio cannot be opened."""
    if utterance.duration_s is not None:
        return utterance.duration_s
    if utterance.end_s is not None:
        return utterance.end_s - utterance.start_s
    key = (utterance.source, str(size))
    if key not in known:
        try:
            known[key] = duration_s(utterance.source)
        except (OSError, DataError):
            known[key] = 0.0
    return max(known[key] - utterance.start_s, 0.0)


def known_durations(out: Path) -> dict[tuple[str, str], float]:
    """(source, bytes) -> seconds of the whole file, from the manifests of an earlier run."""
    manifests = [path for path in (out / "shards").glob("*.tsv") if path.stem.isdigit()]
    rows = [row for path in manifests for row in read_rows(path)]
    return {
        (row["source"], row["bytes"]): float(row["seconds"])
        for row in rows
        if not row["end_s"] and float(row["start_s"]) == 0
    }


def write_manifest(out: Path, number: int, shard: list[Share]) -> Path:
    """Write the utterances of one shard; returns the path."""
    rows = []
    for u, nbytes, _, seconds in shard:
        end_s = "" if u.end_s is None else repr(u.end_s)
        rows.append(
            (u.utt_id, u.recording, u.source, repr(u.start_s), end_s, u.language, u.speaker,
             nbytes, repr(seconds))
        )  # fmt: skip
    path = out / "shards" / f"{number:03d}.tsv"
    write_rows(path, MANIFEST_COLUMNS, rows)
    return path


def remove_stale(out: Path, count: int) -> None:
    """Delete shards of an earlier run beyond the ``count`` of this one."""
    for path in (out / "shards").glob("*"):
        number = path.name.lstrip(".").split(".")[0]
        if number.isdigit() and int(number) >= count:
            path.unlink()
