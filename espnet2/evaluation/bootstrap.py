"""Confidence intervals: draw the test utterances again, with replacement, many times.

Shapes: N utterances, R resamples, L languages.
"""

from collections.abc import Callable, Iterable

import numpy as np

RESAMPLES = 1000
CHUNK_CELLS = 4_000_000  # draws held at once: 32 MB of int64
Interval = tuple[float, float]


def ratio_interval(
    numerators: np.ndarray,
    denominators: np.ndarray,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Interval | None:
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
    return percentiles(resampled_ratios(numerators, denominators, rng, resamples))


def language_interval(
    ratios: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]
) -> Interval | None:
    """The interval of a figure over languages, such as the mean of their CERs.

    Args:
        ratios: (R, L) of ``language_ratios``.
        statistic: (R, L) -> (R,).

    Returns:
        (low, high), or None where nothing was drawn, or the figure is undefined.
    """
    if not ratios.size:
        return None
    return percentiles(statistic(ratios))


def language_ratios(
    parts: Iterable[tuple[np.ndarray, np.ndarray]],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> np.ndarray:
    """(R, L) ratios: the utterances of each language drawn again, the languages kept.

    parts: (N,) numerators and (N,) denominators of each language; one without denominators is
    left out. L is 0 where no language has two utterances: every draw would be the same.
    """
    counted = [(top, bottom) for top, bottom in parts if np.sum(bottom) > 0]
    if all(len(bottom) < 2 for _, bottom in counted):
        return np.empty((resamples, 0))
    columns = [
        resampled_ratios(np.asarray(top, float), np.asarray(bottom, float), rng, resamples)
        for top, bottom in counted
    ]
    return np.stack(columns, axis=1)


def resampled_ratios(
    numerators: np.ndarray, denominators: np.ndarray, rng: np.random.Generator, resamples: int
) -> np.ndarray:
    """(R,) ratios, each over N utterances drawn with replacement."""
    size = numerators.size
    found = []
    for count in chunks(resamples, max(1, CHUNK_CELLS // size)):
        picks = rng.integers(size, size=(count, size))  # (count, N)
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append(numerators[picks].sum(axis=1) / denominators[picks].sum(axis=1))
    return np.concatenate(found)


def percentiles(values: np.ndarray) -> Interval | None:
    """The middle 95 % of (R,) figures, in percent; those that are undefined do not count."""
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return round(100 * float(low), 3), round(100 * float(high), 3)


def chunks(total: int, size: int) -> list[int]:
    """``total`` cut into parts of at most ``size``."""
    return [size] * (total // size) + ([total % size] if total % size else [])
