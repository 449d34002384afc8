"""Kaldi data directories: read, write and validate.

A directory holds ``wav.scp`` (recording or utterance -> path) and, as needed, ``segments``
(utterance -> recording start end), ``text``, ``utt2spk``, ``spk2utt``, ``utt2lang`` (ISO 639-3)
and ``utt2dur`` (seconds). Every file is UTF-8, one ``id value`` a line, sorted by the bytes of
the id. Reading collects every problem with file and line before it refuses.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from espnet2.data.audio import source_file
from espnet2.utils.errors import DataError
from espnet2.utils.files import sha256_text, write_text

UNKNOWN_LANGUAGE = "und"  # ISO 639-3 for "undetermined"
MAX_SHOWN_PROBLEMS = 20
_LANGUAGE = re.compile(r"^[a-z]{3}$")
_PER_UTTERANCE = ("text", "utt2spk", "utt2lang", "utt2dur")


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One utterance of a Kaldi directory."""

    utt_id: str
    recording: str
    source: str  # a path, or ark:offset
    start_s: float = 0.0
    end_s: float | None = None  # None: to the end of the recording
    language: str = UNKNOWN_LANGUAGE  # ISO 639-3
    speaker: str
    text: str | None = None
    duration_s: float | None = None  # of utt2dur, where it is given


@dataclass(frozen=True)
class Entry:
    """The value of one line, and where it stands."""

    value: str
    line: int


class Table(dict[str, Entry]):
    """One ``id value`` file, and what is wrong with it."""

    def __init__(self, path: Path, problems: list[str]):
        super().__init__()
        self.path, self.problems = path, problems

    def complain(self, line: int, message: str) -> None:
        """Note a problem of a line."""
        self.problems.append(f"{self.path}:{line}: {message}")

    def read(self) -> "Table":
        """Read the file, noting every malformed, repeated or misplaced line."""
        previous = b""
        lines = self.path.read_bytes().split(b"\n")
        if lines[-1]:
            self.complain(len(lines), "no newline at the end of the file")
        for number, raw in enumerate(lines[: None if lines[-1] else -1], start=1):
            if raw.endswith(b"\r"):
                self.complain(number, "Windows line ending (CRLF); convert with dos2unix")
            try:
                key, *value = raw.decode("utf-8").split(maxsplit=1)
            except UnicodeDecodeError:
                self.complain(number, "not UTF-8")
                continue
            except ValueError:
                self.complain(number, "empty line")
                continue
            self._add(key, value[0].strip() if value else "", number, previous)
            previous = max(previous, key.encode())
        return self

    def _add(self, key: str, value: str, number: int, previous: bytes) -> None:
        if not value:
            self.complain(number, f"{key} has no value")
        if key in self:
            self.complain(number, f"{key} appears twice; first on line {self[key].line}")
            return
        if key.encode() < previous:
            self.complain(number, f"{key} is out of order; sort with LC_ALL=C sort")
        self[key] = Entry(value, number)


def read_kaldi(folder: Path) -> list[Utterance]:
    """Utterances of a directory, in C order. Audio files need not exist.

    Raises DataError listing the problems, each with file and line.
    """
    utterances, problems = load(Path(folder))
    if problems:
        raise DataError(f"{folder} is not a valid data directory:\n  {shown(problems)}")
    return utterances


def validate_kaldi(folder: Path) -> list[str]:
    """Every problem of a directory, missing audio files included; empty when it is valid."""
    utterances, problems = load(Path(folder))
    problems = list(problems)
    recordings = {u.recording: u.source for u in utterances}
    for recording, source in recordings.items():
        path = source_file(source)
        if not path.is_file():
            problems.append(f"{Path(folder) / 'wav.scp'}: {recording}: no such file: {path}")
        elif path.stat().st_size == 0:
            problems.append(f"{Path(folder) / 'wav.scp'}: {recording}: empty file: {path}")
    return problems


def shown(problems: list[str]) -> str:
    """Problems, one a line; the first of very many."""
    more = len(problems) - MAX_SHOWN_PROBLEMS
    lines = problems[:MAX_SHOWN_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])
    return "\n  ".join(lines)


def load(folder: Path) -> tuple[list[Utterance], list[str]]:
    """Utterances that can be made sense of, and every problem but missing audio."""
    problems: list[str] = []
    if not (folder / "wav.scp").is_file():
        return [], [f"{folder / 'wav.scp'}: no such file"]
    wav = Table(folder / "wav.scp", problems).read()
    check_sources(wav)
    segments = read_segments(folder / "segments", wav, problems)
    ids = segments if segments is not None else {key: (key, 0.0, None) for key in wav}
    owner = wav if segments is None else Table(folder / "segments", problems)
    extra = {
        name: read_column(folder / name, ids, owner, problems)
        for name in _PER_UTTERANCE
        if (folder / name).is_file()
    }
    check_languages(extra.get("utt2lang"))
    durations = read_durations(extra.get("utt2dur"))
    if (folder / "spk2utt").is_file():
        check_speakers(Table(folder / "spk2utt", problems).read(), extra.get("utt2spk"))
    if not ids:
        problems.append(f"{wav.path}: no utterances")

    def value(name: str, key: str, default: str | None) -> str | None:
        entry = extra.get(name, {}).get(key)
        return entry.value if entry else default

    utterances = [
        Utterance(
            utt_id=key, recording=recording, source=wav[recording].value, start_s=start, end_s=end,
            language=value("utt2lang", key, UNKNOWN_LANGUAGE), speaker=value("utt2spk", key, key),
            text=value("text", key, None), duration_s=durations.get(key),
        )
        for key, (recording, start, end) in ids.items()
    ]  # fmt: skip
    return utterances, problems


def check_sources(wav: Table) -> None:
    """Refuse commands: a wav.scp names files and is never executed."""
    for key, entry in wav.items():
        if entry.value.endswith("|") or entry.value.startswith("|"):
            wav.complain(
                entry.line, f"{key} is a command; only files are read: run it and name its output"
            )


def read_segments(
    path: Path, wav: Table, problems: list[str]
) -> dict[str, tuple[str, float, float | None]] | None:
    """Utterance -> (recording, start, end) in seconds; None without a segments file."""
    if not path.is_file():
        return None
    table, segments = Table(path, problems).read(), {}
    for key, entry in table.items():
        fields = entry.value.split()
        try:
            recording, (start, end) = fields[0], map(float, fields[1:])
        except (IndexError, ValueError):
            table.complain(entry.line, f"{key}: must be 'utterance recording start end'")
            continue
        if recording not in wav:
            table.complain(entry.line, f"{key}: recording {recording} is not in wav.scp")
        elif not 0 <= start < float("inf") or not (end == -1 or start < end < float("inf")):
            table.complain(entry.line, f"{key}: needs 0 <= start < end, got {start:g} {end:g}")
        else:
            segments[key] = (recording, start, None if end == -1 else end)
    return segments


def read_column(path: Path, ids: Iterable[str], owner: Table, problems: list[str]) -> Table:
    """A file with one value an utterance, for exactly the utterances ``ids``."""
    table = Table(path, problems).read()
    for key, entry in table.items():
        if key not in ids:
            table.complain(entry.line, f"{key} is not in {owner.path.name}")
    missing = [key for key in ids if key not in table]
    problems.extend(f"{path}: no line for {key} of {owner.path.name}" for key in missing)
    return table


def check_languages(table: Table | None) -> None:
    """Languages must look like ISO 639-3."""
    for key, entry in (table or {}).items():
        if not _LANGUAGE.match(entry.value):
            table.complain(
                entry.line, f"{key}: language '{entry.value}' is not ISO 639-3 (three letters)"
            )


def read_durations(table: Table | None) -> dict[str, float]:
    """Seconds of each utterance; a line that holds no positive number is a problem."""
    durations = {}
    for key, entry in (table or {}).items():
        try:
            durations[key] = float(entry.value)
        except ValueError:
            table.complain(entry.line, f"{key}: '{entry.value}' is not a number of seconds")
    return durations


def check_speakers(spk2utt: Table, utt2spk: Table | None) -> None:
    """spk2utt must be the inverse of utt2spk."""
    listed = {utt: spk for spk, entry in spk2utt.items() for utt in entry.value.split()}
    for utt, speaker in listed.items():
        other = utt2spk.get(utt) if utt2spk is not None else None
        if other is None or other.value != speaker:
            spk2utt.complain(spk2utt[speaker].line, f"{utt} of {speaker} disagrees with utt2spk")
    for utt, entry in (utt2spk or {}).items():
        if utt not in listed:
            utt2spk.complain(entry.line, f"{utt} is missing from spk2utt")


def audio_listing(folder: Path) -> str:
    """Digest of path, size and time of change of all audio: a replaced file is noticed."""
    wav = Path(folder) / "wav.scp"
    if not wav.is_file():
        return "missing"
    paths = {str(source_file(entry.value)) for entry in Table(wav, []).read().values()}
    return sha256_text(repr([(path, *size_and_time(Path(path))) for path in sorted(paths)]))


def size_and_time(path: Path) -> tuple[int, ...]:
    """Bytes and time of change (ns) of a file; empty where there is none."""
    if not path.is_file():
        return ()
    about = path.stat()
    return about.st_size, about.st_mtime_ns


def write_kaldi(folder: Path, utterances: Iterable[Utterance]) -> None:
    """Write a directory that :func:`read_kaldi` reads back as the same utterances.

    ``segments`` is written where an utterance is a part of a recording or has another name.
    """
    folder, utterances = Path(folder), sorted(utterances, key=lambda u: u.utt_id.encode())
    write_table(folder / "wav.scp", {u.recording: u.source for u in utterances})
    cut = any(u.recording != u.utt_id or u.start_s or u.end_s is not None for u in utterances)
    tables = {
        "segments": {u.utt_id: segment_line(u) for u in utterances} if cut else {},
        "text": {u.utt_id: u.text for u in utterances if u.text is not None},
        "utt2spk": {u.utt_id: u.speaker for u in utterances},
        "spk2utt": invert({u.utt_id: u.speaker for u in utterances}),
        "utt2lang": {u.utt_id: u.language for u in utterances},
        "utt2dur": {u.utt_id: repr(u.duration_s) for u in utterances if u.duration_s is not None},
    }
    for name, table in tables.items():
        if table:
            write_table(folder / name, table)
        else:
            (folder / name).unlink(missing_ok=True)


def segment_line(utterance: Utterance) -> str:
    """``recording start end``; -1 stands for the end of the recording."""
    end = -1 if utterance.end_s is None else repr(utterance.end_s)
    return f"{utterance.recording} {utterance.start_s!r} {end}"


def invert(utt2spk: dict[str, str]) -> dict[str, str]:
    """``spk2utt`` of ``utt2spk``, utterances in C order."""
    spk2utt: dict[str, list[str]] = {}
    for utt in sorted(utt2spk, key=str.encode):
        spk2utt.setdefault(utt2spk[utt], []).append(utt)
    return {speaker: " ".join(utts) for speaker, utts in spk2utt.items()}


def write_table(path: Path, table: dict[str, str]) -> None:
    """Write one ``id value`` file in C order, atomically."""
    keys = sorted(table, key=str.encode)
    write_text(path, "".join(f"{key} {table[key]}\n" for key in keys))
