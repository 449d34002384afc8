"""Utterances of a Kaldi directory, as a stream: all its files walked in step."""

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from espnet2.data.kaldi.tables import (
    Entry,
    Problems,
    SortedTable,
    checked_entries,
    id_problem,
    joined,
)
from espnet2.data.languages import UNKNOWN_LANGUAGE, language_problem
from espnet2.data.pipes import is_pipe, parse_pipe
from espnet2.utils.errors import DataError

TO_THE_END = -1.0  # stands in segments for the end of the recording
COLUMNS = ("text", "utt2spk", "utt2lang", "utt2dur")


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One utterance of a Kaldi directory."""

    utt_id: str
    recording: str
    source: str  # a path, ark:offset, parquet:row, or a command that ends in "|"
    start_s: float = 0.0
    end_s: float | None = None  # None: to the end of the recording
    language: str = UNKNOWN_LANGUAGE  # ISO 639-3
    speaker: str
    text: str | None = None
    duration_s: float | None = None  # of utt2dur, where it is given


class Span(NamedTuple):
    """The value of a line of segments."""

    recording: str
    start_s: float
    end_s: float | None  # None: to the end of the recording


def iter_kaldi(folder: Path, allow_pipes: bool = False) -> Iterator[Utterance]:
    """The utterances of a directory in C order, with no more of it in memory than a few lines.

    Audio files need not exist. ``check_kaldi`` finds more, and all at once: whether spk2utt and
    the durations agree, spans that repeat.

    Raises:
        DataError: at the first line that is wrong, with file and line.
    """
    wav, segments, problems = Path(folder) / "wav.scp", Path(folder) / "segments", Problems(True)
    if not wav.is_file():
        problems.add(wav, None, "no such file")
    files = {name: wav.with_name(name) for name in COLUMNS if wav.with_name(name).is_file()}
    streams = [checked_entries(path, problems) for path in files.values()]
    owner = segments if segments.is_file() else wav
    if owner is segments:
        for entry in checked_entries(wav, problems):
            check_source(wav, entry, allow_pipes, problems)
    entry = None
    with closing(SortedTable(wav)) as recordings:
        owners = checked_entries(owner, problems)
        for entry, row in joined(owner, owners, list(files.values()), streams, problems):
            check_id(owner, entry, problems)
            if owner is wav:
                check_source(wav, entry, allow_pipes, problems)
                span, source = Span(entry.key, 0.0, None), entry.value
            else:
                span = parse_span(segments, entry, problems)
                source = recordings.value(span.recording)
                if source is None:
                    note_unknown_recording(segments, entry, span, problems)
            columns = dict(zip(files, row, strict=True))
            yield utterance(entry.key, span, source, columns, files, problems)
    if entry is None:
        problems.add(owner, None, "no utterances")


def utterance(
    utt_id: str, span: Span, source: str, columns: dict[str, Entry], files: dict[str, Path],
    strict: Problems,
) -> Utterance:  # fmt: skip
    """One utterance of its lines. Raises DataError for a value that cannot stand there."""
    language, seconds = UNKNOWN_LANGUAGE, None
    if "utt2lang" in columns:
        language = columns["utt2lang"].value
        check_language(files["utt2lang"], columns["utt2lang"], strict)
    if "utt2dur" in columns:
        seconds = parse_positive(files["utt2dur"], columns["utt2dur"], strict)
    return Utterance(
        utt_id=utt_id, recording=span.recording, source=source, start_s=span.start_s,
        end_s=span.end_s, language=language,
        speaker=columns["utt2spk"].value if "utt2spk" in columns else utt_id,
        text=columns["text"].value if "text" in columns else None, duration_s=seconds,
    )  # fmt: skip


def check_id(path: Path, entry: Entry, problems: Problems) -> None:
    """An id must be a name for a file."""
    problem = id_problem(entry.key)
    if problem:
        problems.add(path, entry.line, "the id {} {}", entry.key, problem)


def check_source(path: Path, entry: Entry, allow_pipes: bool, problems: Problems) -> bool:
    """Whether a source may be read: a command only if that is allowed and it needs no shell."""
    if not is_pipe(entry.value):
        return True
    if not allow_pipes:
        problems.add(
            path, entry.line, "{} is a command; only files are read unless --allow_pipes (in a "
            "recipe: format.allow_pipes) says otherwise", entry.key,
        )  # fmt: skip
        return False
    try:
        parse_pipe(entry.value)
    except DataError as error:
        problems.add(path, entry.line, "{}: {}", entry.key, error)
        return False
    return True


def parse_span(path: Path, entry: Entry, problems: Problems) -> Span | None:
    """The recording and seconds of a line of segments; None if the line is wrong."""
    fields = entry.value.split()
    try:
        recording, (start, end) = fields[0], map(float, fields[1:])
    except (IndexError, ValueError):
        problems.add(path, entry.line, "{}: must be 'utterance recording start end'", entry.key)
        return None
    if not 0 <= start < math.inf or not (end == TO_THE_END or start < end < math.inf):
        problems.add(
            path, entry.line, "{}: needs 0 <= start < end in seconds, got {:g} {:g}",
            entry.key, start, end,
        )  # fmt: skip
        return None
    return Span(recording, start, None if end == TO_THE_END else end)


def note_unknown_recording(path: Path, entry: Entry, span: Span, problems: Problems) -> None:
    """Note a line of segments whose recording has no audio."""
    problems.add(path, entry.line, "{}: recording {} is not in wav.scp", entry.key, span.recording)


def check_language(path: Path, entry: Entry, problems: Problems) -> None:
    """A language must be a code of ISO 639-3."""
    problem = language_problem(entry.value)
    if problem:
        problems.add(path, entry.line, "{}: {}", entry.key, problem)


def parse_positive(path: Path, entry: Entry, problems: Problems) -> float | None:
    """A number above zero; None if it is none."""
    try:
        number = float(entry.value)
    except ValueError:
        problems.add(path, entry.line, "{}: '{}' is not a number", entry.key, entry.value)
        return None
    if not 0 < number < math.inf:
        problems.add(path, entry.line, "{}: must be above 0, got {:g}", entry.key, number)
        return None
    return number
