"""Which frames k-means sees: utterances by quotas of hours, then frames spread evenly over them.

An index knows how many frames every utterance has, so the frames are chosen by position before any
audio is read: memory is bounded by ``max_frames``, and the choice depends on the seed alone.
"""

from dataclasses import dataclass

import numpy as np
import torch

from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.index import Index
from espnet2.tokens.config import Quota
from espnet2.tokens.stream import stream_frames
from espnet2.tokens.teachers.base import Teacher
from espnet2.utils.config import guess
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.seeding import rng_for

ROWS_AT_ONCE = 2**16


@dataclass(frozen=True)
class Sample:
    """The chosen frames."""

    rows: np.ndarray  # (R,) int64      utterances, in index order
    positions: np.ndarray  # (N,) int64 ascending frame numbers in the rows' frames put in a row


def choose(index: Index, quotas: tuple[Quota, ...], max_frames: int, seed: int) -> Sample:
    """Utterances up to each quota, and at most ``max_frames`` of their frames.

    Raises:
        ConfigError: a quota names a corpus the index does not have.
        DataError: nothing was chosen.
    """
    rows = choose_rows(index, quotas, seed)
    parts = (rows[i : i + ROWS_AT_ONCE] for i in range(0, len(rows), ROWS_AT_ONCE))
    total = sum(int(index.frames_of(part).sum(dtype=np.int64)) for part in parts)
    if not total:
        raise DataError(f"{index.path}: the quotas leave nothing to fit a codebook on")
    return Sample(rows=rows, positions=spread(total, max_frames, seed))


def choose_rows(index: Index, quotas: tuple[Quota, ...], seed: int) -> np.ndarray:
    """(R,) rows: of each quota's corpora, utterances in random order until the hours are full.

    Memory: 4 bytes for each utterance of a quota's corpora, for the random order.
    """
    corpora = index.corpora.names
    named = {name for quota in quotas for name in quota.corpora}
    for name in sorted(named - set(corpora)):
        raise ConfigError(f"tokens: quotas: the index has no corpus {name!r}{guess(name, corpora)}")
    chosen = [np.zeros(0, dtype=np.int64)]
    for number, quota in enumerate(quotas):
        names = quota.corpora or [name for name in corpora if name not in named]
        rows, hours = rows_of(index, [corpora.index(name) for name in names])
        if quota.hours is not None and quota.hours < hours:
            rows = rng_for(seed, "kmeans quota", number).permutation(rows)
            rows = until_full(index, rows, quota.hours)
        chosen.append(rows.astype(np.int64))
    return np.unique(np.concatenate(chosen))


def rows_of(index: Index, corpora: list[int]) -> tuple[np.ndarray, float]:
    """(n,) uint32 rows of the corpora with these codes, and their hours."""
    parts, samples = [np.zeros(0, np.uint32)], 0
    for chunk in index.chunks():
        is_theirs = np.isin(index.corpora.codes[chunk], corpora)
        parts.append((np.flatnonzero(is_theirs) + chunk.start).astype(np.uint32))
        samples += int(index.num_samples[chunk][is_theirs].sum(dtype=np.int64))
    return np.concatenate(parts), samples / SAMPLE_RATE_HZ / 3600


def until_full(index: Index, rows: np.ndarray, hours: float) -> np.ndarray:
    """The first of ``rows`` (n,) that fill the hours; the last one crosses the line."""
    samples = 0
    for start in range(0, len(rows), ROWS_AT_ONCE):
        lengths = index.num_samples[rows[start : start + ROWS_AT_ONCE]]
        filled = (samples + np.cumsum(lengths, dtype=np.int64)) / SAMPLE_RATE_HZ / 3600
        if filled[-1] >= hours:
            return rows[: start + int(np.searchsorted(filled, hours)) + 1]
        samples += int(lengths.sum(dtype=np.int64))
    return rows


def spread(total: int, count: int, seed: int) -> np.ndarray:
    """Ascending positions (N,): one at random in each of ``count`` equal parts of ``total``."""
    if count >= total:
        return np.arange(total)
    draws = rng_for(seed, "kmeans frames").random(count)
    # Two neighbouring parts may share the frame on their border; it is taken once.
    return np.unique(((np.arange(count) + draws) * (total / count)).astype(np.int64))


def gather(teacher: Teacher, index: Index, sample: Sample, batch_seconds: float) -> np.ndarray:
    """The sample's frames (N, D) float32; only they are kept."""
    kept = np.empty((len(sample.positions), teacher.dim), dtype=np.float32)
    firsts = np.cumsum(np.append(0, index.frames_of(sample.rows)), dtype=np.int64)
    for batch in stream_frames(teacher, index, sample.rows, batch_seconds):
        ends = np.cumsum(batch.frames.lengths)
        places = np.searchsorted(sample.rows, batch.rows)
        for place, end, count in zip(places, ends, batch.frames.lengths, strict=True):
            low, high = np.searchsorted(sample.positions, [firsts[place], firsts[place] + count])
            chosen = torch.from_numpy(sample.positions[low:high] - firsts[place] + end - count)
            kept[low:high] = batch.frames.values[chosen.to(batch.frames.values.device)].cpu()
    return kept
