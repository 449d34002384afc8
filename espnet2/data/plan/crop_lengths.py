"""Crop lengths that lose little audio, from a histogram of the utterances' lengths."""

import numpy as np

from espnet2.data.config import PlanConfig
from espnet2.data.frames import HOP_SAMPLES, RECEPTIVE_SAMPLES, SAMPLE_RATE_HZ
from espnet2.utils.errors import ConfigError

ROWS = 64  # of the table of losses, computed at a time


def longest_hops(config: PlanConfig) -> int:
    """The longest crop the settings allow, in hops of 320 samples.

    Raises ConfigError when one utterance a rank does not fit into ``batch_bins``, or when
    ``bucket_s`` names a length that does not.
    """
    longest = config.batch_bins // config.batch_multiple // HOP_SAMPLES
    if longest * HOP_SAMPLES < RECEPTIVE_SAMPLES:
        raise ConfigError(
            f"plan: batch_bins {config.batch_bins} holds no {config.batch_multiple} "
            f"(batch_multiple) utterances of one frame; raise batch_bins"
        )
    if not config.bucket_s:
        return min(longest, int(config.max_crop_s * SAMPLE_RATE_HZ) // HOP_SAMPLES)
    given = given_hops(config)
    if given[0] < 2 or given[-1] > longest:
        raise ConfigError(
            f"plan: bucket_s {config.bucket_s} must lie between 0.04 s and batch_bins / "
            f"batch_multiple = {longest * HOP_SAMPLES / SAMPLE_RATE_HZ:g} s"
        )
    return int(given[-1])


def given_hops(config: PlanConfig) -> np.ndarray:
    """(buckets,) ascending int64: ``bucket_s`` in hops."""
    return np.unique(np.rint(np.array(config.bucket_s) * SAMPLE_RATE_HZ / HOP_SAMPLES)).astype(int)


def crop_lengths(counts: np.ndarray, config: PlanConfig) -> np.ndarray:
    """(buckets,) ascending crop lengths in hops.

    counts: (longest + 1,) utterances of each length in hops, repeats included; those longer than
    the longest crop count as the longest.
    """
    if config.bucket_s:
        return given_hops(config)
    counts = counts.copy()
    counts[2] += counts[:2].sum()  # a frame needs more than one hop; such utterances are dropped
    counts[:2] = 0
    return best_edges(counts, config.num_buckets)


def best_edges(counts: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` ascending lengths such that cutting every utterance down to the next one
    loses the least in all.

    counts: (lengths,) utterances of 0, 1, 2 … hops. Dynamic programming over the lengths that
    occur; takes some 3 MB for lengths up to 40 s.
    """
    sizes = np.flatnonzero(counts)  # (G,)
    if not len(sizes):
        return sizes
    number = np.concatenate([[0], np.cumsum(counts[sizes])])  # utterances before each size
    total = np.concatenate([[0], np.cumsum(counts[sizes] * sizes)])  # their hops
    best = (total - sizes[0] * number).astype(np.float64)  # (G + 1,) one bucket for all before j
    best[0] = np.inf
    choice = [np.zeros(len(sizes) + 1, np.int32)]
    for _ in range(min(count, len(sizes)) - 1):
        best, starts = with_one_more(best, sizes, number, total)
        choice.append(starts)
    edges, end = [], len(sizes)
    for starts in reversed(choice):
        end = int(starts[end])
        edges.append(sizes[end])
    return np.array(edges[::-1], np.int64)


def with_one_more(
    best: np.ndarray, sizes: np.ndarray, number: np.ndarray, total: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The least losses with one bucket more, and the size at which the last bucket starts.

    best: (G + 1,) least loss for the sizes before each j. sizes: (G,) different lengths in hops,
    ascending. number, total: (G + 1,) how many are before each j, and their hops. Returns
    (G + 1,) twice.
    """
    losses, starts = np.full_like(best, np.inf), np.zeros(len(best), np.int32)
    fixed = best[:-1] - total[:-1] + sizes * number[:-1]  # what the bucket's end leaves alone
    low = 0  # where a later bucket ends, it does not begin earlier
    for begin in range(1, len(best), ROWS):
        end = np.arange(begin, min(begin + ROWS, len(best)))
        first = np.arange(low, end[-1])
        # Cutting the sizes i..j-1 down to size i; nothing where j <= i.
        loss = total[end, None] - sizes[first] * number[end, None] + fixed[first]  # (j, i)
        loss[first >= end[:, None]] = np.inf
        choice = loss.argmin(axis=1)
        losses[end] = loss[np.arange(len(end)), choice]
        starts[end] = first[choice]
        low = int(starts[end[-1]])
    return losses, starts
