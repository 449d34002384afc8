"""Audio of an index through a teacher, a batch at a time; frames are never stored.

Steps: rows -> the teacher's groups, read ahead where a GPU computes -> teacher -> one frame for
every frame of XEUS's CNN (the frame law) -> finite values.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.index import Index
from espnet2.tokens.teachers.base import Frames, Teacher, pack
from espnet2.utils.errors import DataError
from espnet2.utils.read_ahead import read_ahead

ROWS_AT_ONCE = 2**16  # that are put into groups together


@dataclass(frozen=True)
class Batch:
    """Frames of some rows."""

    rows: np.ndarray  # (B,) int64      rows of the index
    audio: list[np.ndarray]  # B signals (samples,) float32
    frames: Frames  # lengths as the index says


def stream_frames(
    teacher: Teacher, index: Index, rows: np.ndarray, batch_seconds: float
) -> Iterator[Batch]:
    """The frames of ``rows`` (R,), each once, in the order that suits the teacher.

    How they are batched changes no value.
    Raises:
        DataError: the teacher's frames break the law by more than one, or are not finite.
    """
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        num_samples = index.num_samples[part]
        groups = teacher.groups(num_samples)
        calls = [part[call] for call in merged(groups, num_samples, batch_seconds)]
        for chosen, audio in zip(calls, audio_of(index, calls, teacher.device), strict=True):
            expected, names = index.frames_of(chosen), index.utt_ids[chosen]
            frames = lawful(teacher.frames(audio), expected, names)
            yield Batch(rows=chosen, audio=audio, frames=frames)


def audio_of(
    index: Index, calls: Iterable[np.ndarray], device: torch.device
) -> Iterator[list[np.ndarray]]:
    """The signals of each call; threads decode the next one while a GPU computes."""
    if device.type == "cpu":  # which they would only take time from
        return ([index.audio(row) for row in call] for call in calls)
    return read_ahead(calls, index.audio)


def merged(
    groups: list[np.ndarray], num_samples: np.ndarray, batch_seconds: float
) -> Iterator[np.ndarray]:
    """Groups laid together up to ``batch_seconds`` of audio, or one group."""
    held, total, limit = [], 0, batch_seconds * SAMPLE_RATE_HZ
    for group in groups:
        samples = int(num_samples[group].sum(dtype=np.int64))
        if held and total + samples > limit:
            yield np.concatenate(held)
            held, total = [], 0
        held.append(group)
        total += samples
    if held:
        yield np.concatenate(held)


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
    is_finite = torch.isfinite(frames.values).all()
    if is_finite and not off.any():
        return frames
    parts = frames.values.split(frames.lengths.tolist())
    for utt_id, part in zip(utt_ids, parts, strict=True):
        if not torch.isfinite(part).all():
            raise DataError(f"{utt_id}: the teacher's frames are not finite; look at its audio")
    fixed = [torch.cat([p, p[-1:]])[:n] for p, n in zip(parts, expected, strict=True)]
    return pack(fixed, frames.values.shape[1], frames.values.device)
