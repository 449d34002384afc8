"""Audio of an index through a teacher, a batch at a time; frames are never stored.

Steps: rows in order -> batches of about ``batch_seconds`` -> teacher -> one frame for every frame
of XEUS's CNN (the frame law) -> finite values.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.index import Index
from espnet2.tokens.teachers.base import Frames, Teacher, pack
from espnet2.utils.errors import DataError


@dataclass(frozen=True)
class Batch:
    """Frames of some rows."""

    rows: np.ndarray  # (B,) int64      rows of the index
    frames: Frames  # lengths as the index says


def stream_frames(
    teacher: Teacher, index: Index, rows: np.ndarray, batch_seconds: float
) -> Iterator[Batch]:
    """The frames of ``rows`` (R,) in that order; how they are batched changes no value.

    Raises:
        DataError: the teacher's frames break the law by more than one, or are not finite.
    """
    for batch in batches(index.num_samples[rows], batch_seconds):
        chosen = rows[batch]
        frames = teacher.frames([index.audio(row) for row in chosen])
        expected, names = index.frames_of(chosen), index.utt_ids[chosen]
        yield Batch(rows=chosen, frames=lawful(frames, expected, names))


def batches(num_samples: np.ndarray, batch_seconds: float) -> Iterator[slice]:
    """Cut (R,) lengths into runs of at most ``batch_seconds`` in all, or of one utterance."""
    start, total, limit = 0, 0, batch_seconds * SAMPLE_RATE_HZ
    for i, length in enumerate(num_samples):
        if i > start and total + length > limit:
            yield slice(start, i)
            start, total = i, 0
        total += int(length)
    if start < len(num_samples):
        yield slice(start, len(num_samples))


def lawful(frames: Frames, expected: np.ndarray, utt_ids: list[str]) -> Frames:
    """Frames with exactly ``expected`` (B,) of each utterance.

    A teacher whose own front end gives one frame fewer or more is brought in line: the last frame
    is repeated, or left out. Anything worse names the utterance and stops.
    """
    off = frames.lengths - expected
    bad = np.flatnonzero((np.abs(off) > 1) | ((off < 0) & (frames.lengths == 0)))
    if bad.size:
        i = bad[0]
        raise DataError(
            f"{utt_ids[i]}: the teacher gave {frames.lengths[i]} frames, its audio has "
            f"{expected[i]}; labels would not line up"
        )
    parts = np.split(frames.values, np.cumsum(frames.lengths)[:-1])
    for utt_id, part in zip(utt_ids, parts, strict=True):
        if not np.isfinite(part).all():
            raise DataError(f"{utt_id}: the teacher's frames are not finite; look at its audio")
    if not off.any():
        return frames
    fixed = [np.concatenate([p, p[-1:]])[:n] for p, n in zip(parts, expected, strict=True)]
    return pack(fixed, frames.values.shape[1])
