"""Recorded utterances before they are split: measured, duplicates removed, unusable ones dropped.

Steps: measure every file, remove copies of one recording, drop what has no usable transcript.
"""

import dataclasses
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import soundfile

from espnet2.data.audio import not_audio
from espnet2.data.corpora.text import text_key, text_problem

PROBE_SAMPLES = 4000  # decoded at the start of a file before the whole of it is


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One recording and what it says."""

    utt_id: str  # <prefix>_<iso3>_<number>
    path: Path
    language: str  # ISO 639-3
    speaker: str
    text: str | None  # cleaned; None where unknown
    group: str  # equal for parallel sentences of several languages
    duration_s: float = 0.0
    shape: tuple[int, int, int] = (0, 0, 0)  # frames, rate in Hz, channels


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """One row of ``dropped.tsv``."""

    utt_id: str
    reason: str
    detail: str


def measure(clips: Iterable[Clip]) -> tuple[list[Clip], list[Dropped]]:
    """The clips with their length, and those that are not audio."""
    kept, dropped = [], []
    for clip in clips:
        try:
            info = soundfile.info(str(clip.path))
        except (soundfile.LibsndfileError, OSError) as error:
            detail = f"{clip.path}: {not_audio(error)}"
            dropped.append(Dropped(utt_id=clip.utt_id, reason="unreadable", detail=detail))
            continue
        if info.frames == 0:
            detail = str(clip.path)
            dropped.append(Dropped(utt_id=clip.utt_id, reason="empty_audio", detail=detail))
            continue
        shape = (info.frames, info.samplerate, info.channels)
        seconds = info.frames / info.samplerate
        kept.append(dataclasses.replace(clip, duration_s=seconds, shape=shape))
    return kept, dropped


def remove_copies(clips: list[Clip]) -> tuple[list[Clip], list[Dropped]]:
    """One clip of each recording.

    A recording that stands under different transcripts says at most one of them: all its clips go.
    """
    kept, dropped = [], []
    for copies in same_recording(clips):
        first = copies[0]
        texts = {text_key(clip.text or "") for clip in copies} - {""}
        if len(texts) > 1 or len({clip.language for clip in copies}) > 1:
            names = " ".join(clip.utt_id for clip in copies)
            dropped += [
                Dropped(utt_id=c.utt_id, reason="copy_with_other_text", detail=names)
                for c in copies
            ]
            continue
        known = next((clip for clip in copies if clip.text), first)
        kept.append(known)
        dropped += [
            Dropped(utt_id=c.utt_id, reason="copy", detail=known.utt_id)
            for c in copies
            if c is not known
        ]
    return sorted(kept, key=lambda clip: clip.utt_id), dropped


def same_recording(clips: list[Clip]) -> list[list[Clip]]:
    """Clips whose decoded samples are equal, together; each list in order of utterance id.

    Decoding everything would take most of the stage: lengths, then the first samples decide
    which files are decoded whole.
    """
    groups = regroup([sorted(clips, key=lambda clip: clip.utt_id)], lambda clip: clip.shape)
    groups = regroup(groups, lambda clip: pcm_hash(clip.path, PROBE_SAMPLES))
    return regroup(groups, lambda clip: pcm_hash(clip.path, -1))


def regroup(groups: list[list[Clip]], key) -> list[list[Clip]]:
    """Split each group of several clips by ``key(clip)``."""
    result = []
    for group in groups:
        if len(group) == 1:
            result.append(group)
            continue
        parts = defaultdict(list)
        for clip in group:
            parts[key(clip)].append(clip)
        result += parts.values()
    return result


def pcm_hash(path: Path, num_samples: int) -> str:
    """Digest of the first decoded samples of a file, of all its channels (-1: of the whole)."""
    samples, _ = soundfile.read(str(path), frames=num_samples, dtype="int16", always_2d=True)
    return hashlib.sha256(samples.tobytes()).hexdigest()


def keep_transcribed(
    clips: list[Clip], rates: tuple[float, float]
) -> tuple[list[Clip], list[Dropped]]:
    """Clips whose transcript can be what they say. ``rates``: characters a second."""
    kept, dropped = [], []
    for clip in clips:
        problem = text_problem(clip.text, clip.duration_s, rates)
        if problem is None:
            kept.append(clip)
        else:
            detail = f"{clip.duration_s:.2f} s: {clip.text or ''}"
            dropped.append(Dropped(utt_id=clip.utt_id, reason=problem, detail=detail))
    return kept, dropped


def minutes(clips: Iterable[Clip]) -> float:
    """Length of all clips."""
    return sum(clip.duration_s for clip in clips) / 60


def count_reasons(dropped: Iterable[Dropped]) -> dict[str, int]:
    """How many were dropped for each reason, most frequent first."""
    return dict(Counter(row.reason for row in dropped).most_common())


def dropped_table(dropped: Iterable[Dropped]) -> str:
    """``dropped.tsv``: a header, then a row an utterance, in C order."""
    rows = sorted((row.utt_id, row.reason, " ".join(row.detail.split())) for row in dropped)
    return "".join("\t".join(row) + "\n" for row in [("utt_id", "reason", "detail"), *rows])
