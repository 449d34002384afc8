"""Which frames k-means sees: utterances by quotas of hours, then frames spread evenly over them.

Every utterance has a random number, a formula of (seed, quota, row), and a quota takes those with
the lowest numbers until its hours are full. So a few passes over the index's lengths decide,
nothing is shuffled, and memory is bounded by ``max_frames``, whatever the size of the index. No
audio is read for it; that of utterances without a chosen frame never is.

Shapes: Q quotas, R utterances with chosen frames, N chosen frames, n rows looked at together.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from espnet2.data.frames import SAMPLE_RATE_HZ, num_frames
from espnet2.data.index import Index
from espnet2.tokens.config import Quota
from espnet2.tokens.stream import stream_frames
from espnet2.tokens.teachers.base import Teacher
from espnet2.utils.config import guess
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.logs import log
from espnet2.utils.seeding import numbers_for, rng_for, seed_for

SAMPLES_PER_HOUR = 3600 * SAMPLE_RATE_HZ
BUCKET_BITS = 16  # leading bits of the random numbers; hours are counted by bucket
BUCKETS = 2**BUCKET_BITS
ALL = np.uint64(2**64 - 1)  # no number is above


@dataclass(frozen=True)
class Sample:
    """The chosen frames, and the utterances that hold them."""

    rows: np.ndarray  # (R,) int64      ascending rows of the index, each with a chosen frame
    firsts: np.ndarray  # (R + 1,) int64  row i has the chosen frames firsts[i] to firsts[i + 1]
    frames: np.ndarray  # (N,) int64      frame numbers, each within its utterance, ascending
    hours: dict[str, float]  # of each corpus that the quotas drew
    utterances: int  # that the quotas drew
    hours_read: float  # of the rows


@dataclass(frozen=True)
class Draw:
    """Which utterances the quotas take: those of its corpora whose number is not above its bar."""

    quota_of: np.ndarray  # (corpora,) int64  each corpus's quota; -1: none
    keys: np.ndarray  # (Q,) uint64
    bars: np.ndarray  # (Q,) uint64

    def numbers(self, index: Index, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """(n,) quotas, and (n,) uint64 random numbers, of the rows."""
        quotas = self.quota_of[index.corpora.codes[rows]]
        return quotas, numbers_for(np.arange(rows.start, rows.stop), self.keys[quotas])

    def chosen(self, index: Index, rows: slice) -> np.ndarray:
        """Which of the rows are taken: ascending rows of the index."""
        quotas, numbers = self.numbers(index, rows)
        return np.flatnonzero((quotas >= 0) & (numbers <= self.bars[quotas])) + rows.start


def choose(index: Index, quotas: tuple[Quota, ...], max_frames: int, seed: int) -> Sample:
    """Utterances up to each quota, and at most ``max_frames`` of their frames.

    Raises:
        ConfigError: a quota names a corpus the index does not have.
        DataError: nothing was chosen.
    """
    drawn = draw(index, quotas, seed)
    total, utterances, samples = 0, 0, np.zeros(len(index.corpora.names), dtype=np.int64)
    for rows, lengths in chosen_parts(index, drawn):
        total += int(num_frames(lengths).sum(dtype=np.int64))
        utterances += len(rows)
        np.add.at(samples, index.corpora.codes[rows], lengths)
    if not total:
        raise DataError(f"{index.path}: the quotas leave nothing to fit a codebook on")
    hours = dict(zip(index.corpora.names, samples / SAMPLES_PER_HOUR, strict=True))
    hours = {name: round(float(value), 6) for name, value in hours.items() if value}
    kept = keep(index, drawn, spread(total, max_frames, seed))
    return Sample(**kept, hours=hours, utterances=utterances)


def chosen_parts(index: Index, drawn: Draw) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The taken rows a chunk at a time, in order: (n,) rows and their (n,) samples."""
    for chunk in index.chunks():
        rows = drawn.chosen(index, chunk)
        yield rows, index.num_samples[chunk][rows - chunk.start]


def draw(index: Index, quotas: tuple[Quota, ...], seed: int) -> Draw:
    """Find each quota's bar: its hours are reached by the row on it, and not by those below."""
    every = Draw(
        quota_of=quota_of_corpora(index.corpora.names, quotas),
        keys=np.array([seed_for(seed, "kmeans quota", q) for q in range(len(quotas))], np.uint64),
        bars=np.full(len(quotas), ALL),
    )
    held = samples_by_bucket(index, every)  # (Q, BUCKETS)
    asked = [np.inf if q.hours is None else q.hours * SAMPLES_PER_HOUR for q in quotas]
    missing, border = {}, {}  # by quota: samples that its border bucket gives, and that bucket
    for number, (quota, samples, sums) in enumerate(zip(quotas, asked, held, strict=True)):
        filled = np.cumsum(sums)
        if samples < filled[-1]:
            border[number] = int(np.searchsorted(filled, samples))
            missing[number] = samples - (filled[border[number]] - sums[border[number]])
        elif np.isfinite(samples) and samples > filled[-1]:
            names = ", ".join(quota.corpora) or "all other corpora"
            log(f"a quota of {quota.hours:g} h takes all {filled[-1] / SAMPLES_PER_HOUR:.2f} h "
                f"there are of {names}")  # fmt: skip
    bars = every.bars.copy()
    for number, (numbers, lengths) in rows_in_buckets(index, every, border).items():
        order = np.argsort(numbers)
        last = np.searchsorted(np.cumsum(lengths[order]), missing[number])
        bars[number] = numbers[order[last]]
    return replace(every, bars=bars)


def quota_of_corpora(corpora: list[str], quotas: tuple[Quota, ...]) -> np.ndarray:
    """(corpora,) the quota of each; -1 where there is none.

    Raises:
        ConfigError: a quota names a corpus that is not there.
    """
    quota_of = dict.fromkeys(corpora, -1)
    for number, quota in enumerate(quotas):
        for name in quota.corpora:
            if name not in quota_of:
                raise ConfigError(
                    f"tokens: quotas: the index has no corpus {name!r}{guess(name, corpora)}"
                )
            quota_of[name] = number
    rest = [number for number, quota in enumerate(quotas) if not quota.corpora]
    named = {name for quota in quotas for name in quota.corpora}
    for name in set(corpora) - named if rest else ():
        quota_of[name] = rest[0]
    return np.array(list(quota_of.values()), dtype=np.int64)


def samples_by_bucket(index: Index, drawn: Draw) -> np.ndarray:
    """(Q, BUCKETS) int64: samples of each quota's utterances, by the first bits of their number."""
    held = np.zeros(len(drawn.keys) * BUCKETS, dtype=np.int64)
    for chunk in index.chunks():
        quotas, numbers = drawn.numbers(index, chunk)
        buckets = quotas * BUCKETS + bucket_of(numbers)
        np.add.at(held, buckets[quotas >= 0], index.num_samples[chunk][quotas >= 0])
    return held.reshape(-1, BUCKETS)


def rows_in_buckets(
    index: Index, drawn: Draw, border: dict[int, int]
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """For each quota in ``border`` the random numbers and samples of the rows in that bucket."""
    wanted = np.full(len(drawn.keys), -1)  # (Q,)
    wanted[list(border)] = list(border.values())
    found: dict[int, list] = {number: [] for number in border}
    for chunk in index.chunks() if border else ():
        quotas, numbers = drawn.numbers(index, chunk)
        is_wanted = (quotas >= 0) & (bucket_of(numbers) == wanted[quotas])
        lengths = index.num_samples[chunk]
        for number, parts in found.items():
            theirs = is_wanted & (quotas == number)
            parts.append((numbers[theirs], lengths[theirs].astype(np.int64)))
    return {
        number: tuple(map(np.concatenate, zip(*parts, strict=True)))
        for number, parts in found.items()
    }


def bucket_of(numbers: np.ndarray) -> np.ndarray:
    """(n,) int64: the first bits of (n,) uint64."""
    return (numbers >> np.uint64(64 - BUCKET_BITS)).astype(np.int64)


def spread(total: int, count: int, seed: int) -> np.ndarray:
    """Ascending positions (N,): one at random in each of ``count`` equal parts of ``total``."""
    if count >= total:
        return np.arange(total)
    draws = rng_for(seed, "kmeans frames").random(count)
    # Two neighbouring parts may share the frame on their border; it is taken once.
    return np.unique(((np.arange(count) + draws) * (total / count)).astype(np.int64))


def keep(index: Index, drawn: Draw, positions: np.ndarray) -> dict:
    """Rows, firsts, frames and hours_read of a sample.

    positions: (N,) ascending frame numbers in the frames of all drawn utterances put in a row.
    """
    kept_rows, counts, frames = [], [], positions.copy()
    before, done, samples = 0, 0, 0  # frames and chosen frames of the chunks before; samples read
    for rows, lengths in chosen_parts(index, drawn):
        frames_of = num_frames(lengths)
        ends = before + np.cumsum(frames_of, dtype=np.int64)
        number = np.diff(np.searchsorted(positions, ends), prepend=done)  # chosen frames of a row
        stop = done + int(number.sum())
        frames[done:stop] -= np.repeat(ends - frames_of, number)
        has_frames = number > 0
        kept_rows.append(rows[has_frames])
        counts.append(number[has_frames])
        samples += int(lengths[has_frames].sum(dtype=np.int64))
        before, done = int(ends[-1]) if len(ends) else before, stop
    firsts = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return {
        "rows": np.concatenate(kept_rows), "firsts": firsts, "frames": frames,
        "hours_read": samples / SAMPLES_PER_HOUR,
    }  # fmt: skip


def gather(teacher: Teacher, index: Index, sample: Sample, batch_seconds: float) -> np.ndarray:
    """The sample's frames (N, D) float32, utterance after utterance; only they leave the device.

    Raises DataError when there is nothing but silence to hear. A network's frames would not say so:
    those at the ends of an utterance are others than those in its middle.
    """
    kept, is_silent = np.empty((len(sample.frames), teacher.dim), dtype=np.float32), True
    for batch in stream_frames(teacher, index, sample.rows, batch_seconds):
        is_silent = is_silent and all((signal == signal[0]).all() for signal in batch.audio)
        numbers = np.searchsorted(sample.rows, batch.rows)
        firsts = sample.firsts[numbers]
        counts = sample.firsts[numbers + 1] - firsts
        places = runs(firsts, counts)
        begins = np.cumsum(batch.frames.lengths) - batch.frames.lengths
        wanted = np.repeat(begins, counts) + sample.frames[places]
        values = batch.frames.values
        kept[places] = values[torch.from_numpy(wanted).to(values.device)].cpu().numpy()
    if is_silent:
        raise DataError(
            f"{index.path}: the {len(sample.rows):,} utterances of the sample are digital silence; "
            "look at the audio, or choose other quotas"
        )
    return kept


def runs(firsts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """``counts`` (B,) whole numbers from each of ``firsts`` (B,) on, all in a row."""
    before = np.cumsum(counts) - counts
    return np.repeat(firsts - before, counts) + np.arange(counts.sum())
