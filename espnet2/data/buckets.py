"""Crop lengths that lose little audio, the buckets they make, and how often an utterance appears
in a pass."""

from dataclasses import dataclass

import numpy as np

from espnet2.data.config import PlanConfig
from espnet2.data.frames import HOP_SAMPLES, RECEPTIVE_SAMPLES, SAMPLE_RATE_HZ
from espnet2.data.index import Index
from espnet2.data.tsv import Dropped
from espnet2.utils.errors import ConfigError
from espnet2.utils.seeding import rng_for


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Rows of one length: utterances cropped to it, or pieces cut to it."""

    num_samples: int  # crop length
    first: int  # first entry of rows.npy; 0 for pieces
    count: int  # utterances, repeats included, or pieces
    batch: int  # rows in a batch


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a mode of planning (buckets or packing) decides about a set."""

    arrays: dict[str, np.ndarray]  # contents of <name>.npy
    buckets: list[Bucket]
    repeats: np.ndarray  # (rows,) times each utterance appears in a pass
    reads: np.ndarray  # (rows,) times it is read in a pass
    dropped: list[Dropped]


def fill_buckets(index: Index, repeats: np.ndarray, config: PlanConfig, seed: int) -> Draft:
    """Plan buckets of utterances. repeats: (rows,) times to use each; the seed is not needed."""
    lengths = np.repeat(index.num_samples, repeats)
    edges = crop_lengths(lengths, config) if len(index) else np.zeros(0, np.int64)
    bucket_of = np.searchsorted(edges, index.num_samples, side="right") - 1  # (rows,)
    short = np.flatnonzero(bucket_of < 0)
    repeats = np.where(bucket_of < 0, 0, repeats)
    bucket_of = merge_small(bucket_of, repeats, len(edges), config.batch_multiple)
    rows, buckets = [np.zeros(0, np.uint32)], []
    for number, length in enumerate(edges):
        members = np.flatnonzero(bucket_of == number)
        entries = np.repeat(members, repeats[members]).astype(np.uint32)
        if len(entries):
            first = buckets[-1].first + buckets[-1].count if buckets else 0
            batch = batch_size(int(length), len(entries), config)
            buckets.append(
                Bucket(num_samples=int(length), first=first, count=len(entries), batch=batch)
            )
            rows.append(entries)
    return Draft(
        arrays={"rows": np.concatenate(rows)},
        buckets=buckets,
        repeats=repeats,
        reads=repeats,
        dropped=too_short(index, short, edges),
    )


def merge_small(
    bucket_of: np.ndarray, repeats: np.ndarray, count: int, batch_multiple: int
) -> np.ndarray:
    """Move buckets too small for one batch into the next shorter one; (rows,) bucket numbers."""
    bucket_of = bucket_of.copy()
    for number in range(count - 1, 0, -1):
        members = bucket_of == number
        if repeats[members].sum() < batch_multiple:
            bucket_of[members] = number - 1
    return bucket_of


def batch_size(num_samples: int, count: int, config: PlanConfig) -> int:
    """Rows in a batch: as many as fit the budget and the bucket, a multiple of
    ``batch_multiple``."""
    multiple = config.batch_multiple
    fits = config.batch_bins // num_samples // multiple * multiple
    return max(min(fits, count // multiple * multiple), multiple)


def too_short(index: Index, short: np.ndarray, edges: np.ndarray) -> list[Dropped]:
    """Rows of dropped.tsv for utterances under the shortest bucket."""
    return [
        Dropped(
            utt_id=index.utt_ids[i], reason="shorter than the shortest bucket",
            detail=f"{index.num_samples[i]} of {edges[0]} samples",
        )
        for i in short
    ]  # fmt: skip


def crop_lengths(num_samples: np.ndarray, config: PlanConfig) -> np.ndarray:
    """(buckets,) ascending crop lengths in samples, multiples of 320.

    num_samples: (utterances,) lengths, repeats included. Raises ConfigError when one utterance
    a rank does not fit into ``batch_bins``.
    """
    longest = config.batch_bins // config.batch_multiple // HOP_SAMPLES  # in hops
    if longest * HOP_SAMPLES < RECEPTIVE_SAMPLES:
        raise ConfigError(
            f"plan: batch_bins {config.batch_bins} holds no {config.batch_multiple} "
            f"(batch_multiple) utterances of one frame; raise batch_bins"
        )
    if config.bucket_s:
        lengths = np.unique(np.rint(np.array(config.bucket_s) * SAMPLE_RATE_HZ / HOP_SAMPLES))
        if lengths[0] < 2 or lengths[-1] > longest:
            raise ConfigError(
                f"plan: bucket_s {config.bucket_s} must lie between 0.04 s and batch_bins / "
                f"batch_multiple = {longest * HOP_SAMPLES / SAMPLE_RATE_HZ:g} s"
            )
        return lengths.astype(np.int64) * HOP_SAMPLES
    longest = min(longest, int(config.max_crop_s * SAMPLE_RATE_HZ) // HOP_SAMPLES)
    hops = np.clip(num_samples // HOP_SAMPLES, 2, longest)
    return best_edges(hops, config.num_buckets) * HOP_SAMPLES


def best_edges(hops: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` lengths such that cutting each of ``hops`` down to the next one loses
    the least in all (dynamic programming over the distinct lengths). All in hops."""
    sizes, counts = np.unique(hops, return_counts=True)  # (G,) ascending
    number = np.concatenate([[0], np.cumsum(counts)])  # utterances before each size
    total = np.concatenate([[0], np.cumsum(counts * sizes)])  # their hops
    # loss[i, j]: cutting the sizes i..j-1 down to size i; infinite where j <= i.
    loss = (total[None, :] - total[:-1, None]).astype(np.float64)
    loss -= sizes[:, None] * (number[None, :] - number[:-1, None])
    loss[np.arange(len(sizes))[:, None] >= np.arange(len(sizes) + 1)[None, :]] = np.inf
    best, choice = loss[0].copy(), [np.zeros(len(sizes) + 1, np.int64)]
    for _ in range(min(count, len(sizes)) - 1):
        extended = best[:-1, None] + loss  # the last bucket starts at i
        choice.append(extended.argmin(axis=0))
        best = extended.min(axis=0)
    edges, end = [], len(sizes)
    for starts in reversed(choice):
        end = int(starts[end])
        edges.append(sizes[end])
    return np.array(edges[::-1], np.int64)


def repeat_counts(index: Index, config: PlanConfig, seed: int) -> np.ndarray:
    """(rows,) times each utterance appears in a pass, at least 1.

    A language holding ``h`` hours is drawn in proportion to ``h ** language_temperature``, and a
    corpus within it likewise; the largest one is not repeated. Fractions are drawn by the seed.
    """
    group = index.languages.codes.astype(np.int64) * len(index.corpora.names) + index.corpora.codes
    groups, member = np.unique(group, return_inverse=True)
    language = groups // max(len(index.corpora.names), 1)
    hours = np.bincount(member, weights=index.num_samples)  # (groups,) in samples
    by_language = np.bincount(language, weights=hours)[language]
    drawn = hours**config.corpus_temperature
    drawn *= by_language**config.language_temperature / np.bincount(language, drawn)[language]
    weight = drawn / hours
    weight = np.minimum(weight / weight.min(initial=np.inf), config.max_repeats)[member]
    fraction = rng_for(seed, "repeats").random(len(index))
    return (weight + 1e-9 + fraction).astype(np.int64)
