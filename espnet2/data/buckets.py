"""Crop lengths that lose little audio, and how often an utterance appears in a pass."""

import numpy as np

from espnet2.data.config import PlanConfig
from espnet2.data.frames import HOP_SAMPLES, RECEPTIVE_SAMPLES, SAMPLE_RATE_HZ
from espnet2.data.index import Index
from espnet2.utils.errors import ConfigError
from espnet2.utils.seeding import rng_for


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
