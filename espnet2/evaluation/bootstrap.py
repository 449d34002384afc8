"""Confidence intervals: draw the test utterances again, with replacement, many times.

Shapes: N utterances, R resamples.
"""

import numpy as np

RESAMPLES = 1000
CHUNK_CELLS = 4_000_000  # draws held at once: 32 MB of int64


def ratio_interval(
    numerators: np.ndarray,
    denominators: np.ndarray,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> tuple[float, float] | None:
    """Percentile 95 % interval, in percent, of a pooled ratio such as CER or accuracy.

    Args:
        numerators: (N,) edits, or 1 where the answer is right.
        denominators: (N,) reference characters, or ones.
        rng: a generator of its own, so that the interval is a function of the seed.

    Returns:
        (low, high), or None for fewer than two utterances or a denominator of zero.
    """
    numerators, denominators = np.asarray(numerators, float), np.asarray(denominators, float)
    if numerators.size < 2 or denominators.sum() == 0:
        return None
    ratios = np.concatenate(
        [
            resampled_ratios(numerators, denominators, rng, count)
            for count in chunks(resamples, max(1, CHUNK_CELLS // numerators.size))
        ]
    )
    low, high = np.percentile(ratios[np.isfinite(ratios)], [2.5, 97.5])
    return round(100 * float(low), 3), round(100 * float(high), 3)


def resampled_ratios(
    numerators: np.ndarray, denominators: np.ndarray, rng: np.random.Generator, count: int
) -> np.ndarray:
    """``count`` ratios, each over N utterances drawn with replacement."""
    picks = rng.integers(numerators.size, size=(count, numerators.size))  # (count, N)
    with np.errstate(divide="ignore", invalid="ignore"):
        return numerators[picks].sum(axis=1) / denominators[picks].sum(axis=1)  # (count,)


def chunks(total: int, size: int) -> list[int]:
    """``total`` cut into parts of at most ``size``."""
    return [size] * (total // size) + ([total % size] if total % size else [])
