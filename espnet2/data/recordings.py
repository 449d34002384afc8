"""Recordings that a user lists: ``wav.scp`` (and ``segments``), or plain audio files."""

from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from espnet2.data.audio import load_audio
from espnet2.data.format.manifest import seconds_of
from espnet2.data.kaldi import Utterance, shown
from espnet2.data.kaldi.rows import Span, check_source, note_unknown_recording, parse_span
from espnet2.data.kaldi.tables import Problems, checked_entries
from espnet2.data.tsv import Dropped
from espnet2.utils.errors import ConfigError, DataError


def chosen(args: Namespace) -> list[Utterance]:
    """What the options of ``espnet2.utils.cli.add_recordings`` name, in C order.

    Raises:
        ConfigError: --segments without --wav_scp.
        DataError: a list that cannot be used.
    """
    if args.segments and not args.wav_scp:
        raise ConfigError("--segments cuts the recordings of a --wav_scp, not of --wav")
    return plain_files(args.wav) if args.wav else listed(args.wav_scp, args.segments)


def listed(wav_scp: Path, segments: Path | None = None) -> list[Utterance]:
    """Utterances of a ``wav.scp`` of any name, in C order; with ``segments``, its lines.

    Raises DataError listing the problems, each with file and line; OSError without the file.
    """
    problems = Problems()
    sources: dict[str, str] = {}
    for entry in checked_entries(wav_scp, problems):
        check_source(wav_scp, entry, False, problems)
        sources[entry.key] = entry.value
    parts = {key: Span(key, 0.0, None) for key in sources}
    if segments is not None:
        if not segments.is_file():
            raise DataError(f"{segments}: no such file; --segments names a Kaldi segments file")
        parts = {}
        for entry in checked_entries(segments, problems):
            span = parse_span(segments, entry, problems)
            if span is not None and span.recording not in sources:
                note_unknown_recording(segments, entry, span, problems)
            elif span is not None:
                parts[entry.key] = span
    if not parts:
        problems.add(segments or wav_scp, None, "no utterances")
    if problems:
        raise DataError(f"{wav_scp} cannot be used:\n  {shown(problems.messages())}")
    return [
        Utterance(
            utt_id=key, recording=recording, source=sources[recording], start_s=start, end_s=end,
            speaker=key,
        )
        for key, (recording, start, end) in parts.items()
    ]  # fmt: skip


def plain_files(paths: Sequence[Path]) -> list[Utterance]:
    """One utterance a file, named by the file without its ending, in C order.

    Raises DataError when two files have one name.
    """
    named: dict[str, Path] = {}
    for path in paths:
        if path.stem in named:
            raise DataError(
                f"{named[path.stem]} and {path} would both be utterance {path.stem}; "
                "rename one, or list them in a wav.scp with ids of your own"
            )
        named[path.stem] = path
    return [
        Utterance(utt_id=name, recording=name, source=str(named[name]), speaker=name)
        for name in sorted(named, key=str.encode)
    ]


def with_durations(utterances: Iterable[Utterance]) -> list[Utterance]:
    """The utterances with seconds from segments or audio headers; 0 where one cannot be opened."""
    return [replace(u, duration_s=seconds_of(u)) for u in utterances]


def in_chunks(utterances: Sequence[Utterance], limit_s: float) -> Iterator[list[Utterance]]:
    """Utterances with a ``duration_s`` in their order, up to ``limit_s`` seconds at a time, or one.

    One whose length is not known counts as a second.
    """
    chunk: list[Utterance] = []
    total_s = 0.0
    for utterance in utterances:
        length_s = utterance.duration_s or 1.0
        if chunk and total_s + length_s > limit_s:
            yield chunk
            chunk, total_s = [], 0.0
        chunk.append(utterance)
        total_s += length_s
    if chunk:
        yield chunk


def usable_audio(utterance: Utterance, shortest: int) -> np.ndarray | Dropped:
    """(samples,) float32 at 16 kHz; or why there is none, fewer than ``shortest`` included."""
    try:
        audio = load_audio(utterance.source, utterance.start_s, utterance.end_s)
    except OSError as error:
        reason, detail = "unreadable", f"{utterance.source}: {error.strerror or error}"
    except DataError as error:
        reason, detail = "unreadable", str(error)
    else:
        if len(audio) >= shortest:
            return audio
        reason = "too short"
        detail = f"{len(audio)} samples at 16 kHz; at least {shortest} make one frame"
    return Dropped(utt_id=utterance.utt_id, reason=reason, detail=detail)
