"""Rules about recordings: their sources, their audio, and the segments cut from them."""

import io
import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import soundfile

from espnet2.data.audio import duration_s
from espnet2.data.damaged import refuse_damaged
from espnet2.data.external_sort import sorted_lines
from espnet2.data.kaldi.folder import Folder
from espnet2.data.kaldi.rows import (
    Span,
    check_id,
    check_source,
    note_unknown_recording,
    parse_positive,
    parse_span,
)
from espnet2.data.kaldi.tables import Entry, Problems, entries, joined
from espnet2.data.parquet import is_parquet
from espnet2.data.pipes import is_pipe
from espnet2.data.sources import read_bytes, source_file
from espnet2.utils.errors import DataError

END_TOLERANCE_S = 0.5  # by which a segment may end after its recording; reading cuts it there


class RecordingRules:
    """The rules of one line of wav.scp."""

    def __init__(self, folder: Folder, allow_pipes: bool, audio: bool, headers: bool):
        self.folder, self.allow_pipes = folder, allow_pipes
        self.audio, self.headers = audio or headers, headers
        self._last_file: tuple[Path | None, str | None] = None, None  # arks hold many

    def check(self, entry: Entry, reco2dur: Entry | None) -> float | None:
        """Note what is wrong; returns the seconds of the recording, if they are known."""
        path, problems = self.folder.file("wav.scp"), self.folder.problems
        check_id(path, entry, problems)
        may_be_read = check_source(path, entry, self.allow_pipes, problems)
        stated = None
        if reco2dur is not None:
            stated = parse_positive(self.folder.file("reco2dur"), reco2dur, problems)
        if self.audio and may_be_read:
            problem, seconds = self._problem_of_audio(entry.value)
            if problem:
                problems.add(path, entry.line, "{}: {}", entry.key, problem)
            elif seconds is not None:
                if stated is not None:
                    self.folder.compare("reco2dur", reco2dur, stated, seconds, "the audio")
                return seconds
        return stated

    def _problem_of_audio(self, source: str) -> tuple[str | None, float | None]:
        """(what is wrong with the audio, its seconds as far as headers are read)."""
        if not is_pipe(source):
            file = source_file(source)
            if file != self._last_file[0]:
                self._last_file = file, missing_or_empty(file)
            if self._last_file[1]:
                return self._last_file[1], None
        if not self.headers:
            return None, None
        try:
            seconds = header_seconds(source)
        except (DataError, OSError) as error:
            return str(error), None
        return (None, seconds) if seconds > 0 else (f"{source} holds no samples", None)


def missing_or_empty(file: Path) -> str | None:
    """What is wrong with a file before it is opened."""
    try:
        return None if file.stat().st_size else f"empty file: {file}"
    except OSError:
        return f"no such file: {file}"


def header_seconds(source: str) -> float:
    """Seconds of audio by its header; a command is run for it. Raises DataError or OSError."""
    if not is_pipe(source) and not is_parquet(source):
        return duration_s(source)
    file = io.BytesIO(read_bytes(source, allow_pipes=True))
    refuse_damaged(source, file)
    try:
        info = soundfile.info(file)
    except (soundfile.LibsndfileError, TypeError) as error:
        raise DataError(f"{source}: {getattr(error, 'error_string', error)}") from None
    return info.frames / info.samplerate


def check_recordings(folder: Folder, rules: RecordingRules, spans_in_order: bool) -> None:
    """The recordings of wav.scp, and the segments cut from them."""
    names = ["reco2dur"] if folder.has("reco2dur") else []
    wav = folder.file("wav.scp")
    rows = joined(wav, folder.stream("wav.scp"), [folder.file(n) for n in names],
                  [folder.stream(n) for n in names], folder.problems)  # fmt: skip
    recordings = ((entry, rules.check(entry, row[0] if row else None)) for entry, row in rows)
    head = next(recordings, None)
    for recording, group in itertools.groupby(
        spans(folder, spans_in_order), key=lambda found: found[0].recording
    ):
        while head is not None and head[0].key < recording:
            note_unused(folder, head[0])
            head = next(recordings, None)
        if head is not None and head[0].key == recording:
            check_group(folder, group, head[1])
            head = next(recordings, None)
        else:
            for span, entry in group:
                note_unknown_recording(folder.file("segments"), entry, span, folder.problems)
    while head is not None:
        note_unused(folder, head[0])
        head = next(recordings, None)


def note_unused(folder: Folder, entry: Entry) -> None:
    """Note a recording that no segment uses."""
    example = f"{folder.file('wav.scp')}:{entry.line} {entry.key}"
    folder.notes.add("recordings that no segment uses", example)


def spans(folder: Folder, are_in_order: bool) -> Iterator[tuple[Span, Entry]]:
    """The lines of segments that make sense, by recording and start."""
    path, silent = folder.file("segments"), Problems()
    found = ((parse_span(path, entry, silent), entry) for entry in entries(path))
    found = (pair for pair in found if pair[0] is not None)
    if are_in_order:
        yield from found
        return
    lines = (
        f"{span.recording} {span.start_s:020.6f} {entry.line} {entry.key} {entry.value}"
        for span, entry in found
    )
    for line in sorted_lines(lines):
        _, _, number, key, value = line.split(" ", 4)
        entry = Entry(key, value, int(number))
        yield parse_span(path, entry, silent), entry


def check_group(folder: Folder, group: Iterator[tuple[Span, Entry]], seconds: float | None) -> None:
    """The segments of one recording in the order of their starts; ``seconds`` of it, if known."""
    path, problems = folder.file("segments"), folder.problems
    latest = 0.0  # end so far
    same_start: dict[float, Entry] = {}  # end -> first entry, of the spans that start here
    start = -1.0
    for span, entry in group:
        end = math.inf if span.end_s is None else span.end_s
        if seconds is not None and (
            span.start_s >= seconds or math.isfinite(end) and end > seconds + END_TOLERANCE_S
        ):
            problems.add(
                path, entry.line, "{}: {:g} to {:g} s, but recording {} has {:.2f} s",
                entry.key, span.start_s, end, span.recording, seconds,
            )  # fmt: skip
        if span.start_s != start:
            start, same_start = span.start_s, {}
        first = same_start.setdefault(end, entry)
        if first is not entry:
            problems.add(path, entry.line, "{}: the same span as {} on line {}", entry.key,
                         first.key, first.line)  # fmt: skip
        elif span.start_s < latest - 1e-6:
            folder.notes.add("segments that overlap an earlier one", f"{path}:{entry.line}")
        latest = max(latest, end)


def note_shared_audio(folder: Folder) -> None:
    """Note audio that several ids of wav.scp have. Sorts the file by its values, on disk."""
    lines = (f"{value}\t{line}" for _, value, line in folder.stream("wav.scp"))
    last = None
    for row in sorted_lines(lines):
        source, _, line = row.rpartition("\t")
        if source == last:
            example = f"{folder.file('wav.scp')}:{line} {source}"
            folder.notes.add("ids with the audio of another id", example)
        last = source
