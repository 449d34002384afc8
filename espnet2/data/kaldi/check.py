"""Every rule of a Kaldi directory, checked in a few readings with bounded memory.

=============== ===================================================================================
every file      UTF-8 without a byte order mark; Unix line ends, the last one too; no empty line,
                tab, control character, space at an end or second space after the id; a value in
                every line, not spaces alone; ids in the order of their bytes, each once; no id
                with a character that other programs take for a space
wav.scp         is there and not empty; ids can name files (no slash, not over 200 bytes); commands
                only where allowed, and only such as need no shell; with ``audio``: the file is
                there and not empty; with ``headers``: it opens as audio and holds some
segments        four fields; 0 <= start < end, or -1 for the end of the recording; the recording is
                in wav.scp; ends within it (reco2dur, or the header); no span of a recording twice
text, utt2*     exactly the ids of segments, or of wav.scp where there are none
utt2spk         one word a speaker
spk2utt         the inverse of utt2spk; each speaker once, in order
utt2lang        ISO 639-3; a wrong code comes with the right one
utt2dur         above 0; as long as the segment, the recording (reco2dur) or the header says
utt2num_samples a whole number above 0, at a rate of audio for utt2dur
reco2dur        above 0, for exactly the recordings
notes           spans that overlap; recordings that no segment uses; audio that several ids share;
                two spaces between words; ids that do not begin with the speaker (Kaldi's own tools
                want that); no utt2lang, no utt2spk
=============== ===================================================================================

Files in order are walked in step. One that is not is sorted on disk first, so that one misplaced
line is one problem; spk2utt is compared with utt2spk by a digest, and line by line if that differs.
"""

from dataclasses import dataclass
from pathlib import Path

from espnet2.data.kaldi.check_recordings import (
    RecordingRules,
    check_recordings,
    note_shared_audio,
)
from espnet2.data.kaldi.check_speakers import check_speakers
from espnet2.data.kaldi.folder import Folder
from espnet2.data.kaldi.rows import check_id, check_language, parse_positive, parse_span
from espnet2.data.kaldi.tables import Entry, joined

PER_UTTERANCE = ("text", "utt2spk", "utt2lang", "utt2dur", "utt2num_samples", "utt2corpus")
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 4000, 400_000  # of audio, with room for rounded durations


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was found in a directory."""

    problems: list[str]
    """One line each, with file and line; empty when the directory is valid."""

    notes: list[str]
    """What is worth knowing but not wrong; one line a kind."""

    utterances: int


def check_kaldi(folder: Path, allow_pipes: bool = False, audio: bool = False) -> list[str]:
    """Every problem of a directory; empty when it is valid. ``audio``: also that it is there."""
    return examine(folder, allow_pipes=allow_pipes, audio=audio).problems


def examine(
    folder: Path, *, allow_pipes: bool = False, audio: bool = False, headers: bool = False
) -> Report:
    """Check a directory by every rule above.

    audio: also whether the files are there. headers: also whether they open and how long they are.
    Raises OSError when a file of the directory cannot be read.
    """
    found = Folder(folder)
    if not found.has("wav.scp"):
        found.problems.add(found.file("wav.scp"), None, "no such file")
        return Report(problems=found.problems.messages(), notes=[], utterances=0)
    for name in ("wav.scp", "segments", *PER_UTTERANCE, "reco2dur"):
        if found.has(name):
            found.scan(name)
    rules = RecordingRules(found, allow_pipes, audio, headers)
    if found.has("segments"):
        utterances, in_order = check_segmented(found)
        check_recordings(found, rules, in_order)
    else:
        utterances = check_whole(found, rules)
    if found.has("spk2utt"):
        check_speakers(found)
    if audio:
        note_shared_audio(found)
    for name, means in (("utt2lang", "of unknown language"), ("utt2spk", "its own speaker")):
        if utterances and not found.has(name):
            found.notes.add(f"no {name}, so each utterance is {means}")
    return Report(
        problems=found.problems.messages(), notes=found.notes.messages(), utterances=utterances
    )


def check_segmented(folder: Folder) -> tuple[int, bool]:
    """Utterances that segments cuts: how many, and whether they follow their recordings in time."""
    path = folder.file("segments")
    names = [name for name in PER_UTTERANCE if folder.has(name)]
    rows = joined(path, folder.stream("segments"), [folder.file(n) for n in names],
                  [folder.stream(n) for n in names], folder.problems)  # fmt: skip
    count, last, in_order = 0, ("", 0.0), True
    for entry, row in rows:
        count += 1
        check_id(path, entry, folder.problems)
        span = parse_span(path, entry, folder.problems)
        known = None
        if span is not None:
            in_order &= last <= (span.recording, span.start_s)
            last = span.recording, span.start_s
            known = None if span.end_s is None else span.end_s - span.start_s
        check_values(folder, dict(zip(names, row, strict=True)), known, "segments")
    if not count:
        folder.problems.add(path, None, "no utterances")
    return count, in_order


def check_whole(folder: Folder, rules: RecordingRules) -> int:
    """Utterances that are recordings; returns how many."""
    path = folder.file("wav.scp")
    names = [name for name in (*PER_UTTERANCE, "reco2dur") if folder.has(name)]
    rows = joined(path, folder.stream("wav.scp"), [folder.file(n) for n in names],
                  [folder.stream(n) for n in names], folder.problems)  # fmt: skip
    count = 0
    for entry, row in rows:
        count += 1
        columns = dict(zip(names, row, strict=True))
        seconds = rules.check(entry, columns.pop("reco2dur", None))
        check_values(folder, columns, seconds, "the audio" if rules.headers else "reco2dur")
    if not count:
        folder.problems.add(path, None, "no utterances")
    return count


def check_values(
    folder: Folder, columns: dict[str, Entry | None], known: float | None, source: str
) -> None:
    """The values of one utterance; ``known`` are its seconds according to ``source``."""
    text, speaker = columns.get("text"), columns.get("utt2spk")
    if text is not None and "  " in text.value:
        folder.notes.add("texts with two spaces between words", where(folder, "text", text))
    if speaker is not None and " " in speaker.value:
        folder.problems.add(folder.file("utt2spk"), speaker.line,
                            "{}: speaker '{}' is not one word", *speaker[:2])  # fmt: skip
    elif speaker is not None and not speaker.key.startswith(speaker.value):
        folder.notes.add("ids that do not begin with the speaker, as Kaldi's own tools want",
                         where(folder, "utt2spk", speaker))  # fmt: skip
    if columns.get("utt2lang") is not None:
        check_language(folder.file("utt2lang"), columns["utt2lang"], folder.problems)
    seconds = None
    if columns.get("utt2dur") is not None:
        seconds = parse_positive(folder.file("utt2dur"), columns["utt2dur"], folder.problems)
    if seconds is not None and known is not None:
        folder.compare("utt2dur", columns["utt2dur"], seconds, known, source)
    if columns.get("utt2num_samples") is not None:
        check_samples(folder, columns["utt2num_samples"], seconds)


def check_samples(folder: Folder, entry: Entry, seconds: float | None) -> None:
    """A whole number of samples, at a rate that audio can have."""
    path, samples = folder.file("utt2num_samples"), entry.value
    if not samples.isdecimal() or int(samples) == 0:
        folder.problems.add(
            path, entry.line, "{}: '{}' is not a number of samples", entry.key, samples
        )
    elif seconds and not LOWEST_RATE_HZ < int(samples) / seconds < HIGHEST_RATE_HZ:
        folder.problems.add(
            path, entry.line, "{}: {} samples in {:g} s are no rate of audio; one of utt2dur and "
            "utt2num_samples is wrong", entry.key, samples, seconds,
        )  # fmt: skip


def where(folder: Folder, name: str, entry: Entry) -> str:
    """File, line and id of an entry."""
    return f"{folder.file(name)}:{entry.line} {entry.key}"
