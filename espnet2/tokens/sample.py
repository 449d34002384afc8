"""Which frames k-means sees: utterances by quotas of hours, then frames spread evenly over them.

An index knows how many frames every utterance has, so the frames are chosen by position before any
audio is read: memory is bounded by ``max_frames``, and the choice depends on the seed alone.
"""

from dataclasses import dataclass

import numpy as np

from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.index import Index
from espnet2.tokens.config import Quota
from espnet2.tokens.stream import stream_frames
from espnet2.tokens.teachers.base import Teacher
from espnet2.utils.config import guess
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.seeding import rng_for


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
    total = int(index.frames[rows].sum(dtype=np.int64))
    if not total:
        raise DataError(f"{index.path}: the quotas leave nothing to fit a codebook on")
    return Sample(rows=rows, positions=spread(total, max_frames, seed))


def choose_rows(index: Index, quotas: tuple[Quota, ...], seed: int) -> np.ndarray:
    """(R,) rows: of each quota's corpora, utterances in random order until the hours are full."""
    corpora = index.corpora.names
    named = {name for quota in quotas for name in quota.corpora}
    for name in sorted(named - set(corpora)):
        raise ConfigError(f"tokens: quotas: the index has no corpus {name!r}{guess(name, corpora)}")
    chosen = []
    for number, quota in enumerate(quotas):
        names = quota.corpora or [name for name in corpora if name not in named]
        rows = np.flatnonzero(np.isin(index.corpora.codes, [corpora.index(n) for n in names]))
        if quota.hours is not None:
            rows = rng_for(seed, "kmeans quota", number).permutation(rows)
            hours = np.cumsum(index.num_samples[rows], dtype=np.int64) / SAMPLE_RATE_HZ / 3600
            rows = rows[: np.searchsorted(hours, quota.hours) + 1]  # the last one crosses the line
        chosen.append(rows)
    return np.unique(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=np.int64)


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
    first, done = 0, 0  # frames streamed, frames kept
    for batch in stream_frames(teacher, index, sample.rows, batch_seconds):
        last = first + len(batch.frames.values)
        end = int(np.searchsorted(sample.positions, last))
        kept[done:end] = batch.frames.values[sample.positions[done:end] - first]
        first, done = last, end
    return kept
