"""SUPERB_s: how far a model moved from FBANK to the best of a named set, times 1000.

``1000/T * sum over tasks of 1/M * sum over its metrics of (s - s_base) / (s_best - s_base)``

The sign of a difference takes care of error rates, which fall as models get better.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from espnet2.evaluation.golden import TASKS

Row = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class SuperbScore:
    """A score and what it was made of."""

    value: float | None
    """The score before truncation; None where no metric can be scored."""

    metrics: tuple[str, ...]
    """The metrics that entered it."""

    left_out: dict[str, str]
    """Metric -> why it could not enter (a within-run score covers what was run)."""

    @property
    def printed(self) -> int | None:
        """The score as the XEUS paper prints it: cut towards zero, not rounded."""
        return None if self.value is None else math.trunc(self.value)


def higher_is_better(metric: str) -> bool:
    """Accuracies grow as models get better, error rates shrink."""
    return metric.endswith("_lid")


def best_values(rows: Iterable[Row]) -> dict[str, float]:
    """The best value of each metric, of the rows that have it."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for metric, value in row.items():
            values.setdefault(metric, []).append(value)
    return {
        metric: (max if higher_is_better(metric) else min)(found)
        for metric, found in values.items()
    }


def superb_score(
    row: Row, base: Row, best: Row, tasks: Mapping[str, tuple[str, ...]] = TASKS
) -> SuperbScore:
    """SUPERB_s of ``row`` over the metrics that ``row``, ``base`` and ``best`` all have.

    A task without any of its metrics does not count in T. A metric on which the base row is itself
    the best of the set has no scale and is left out.
    """
    shares, used, left_out = [], [], {}
    for metrics in tasks.values():
        progress = []
        for metric in metrics:
            reason = unusable(metric, row, base, best)
            if reason:
                left_out[metric] = reason
                continue
            progress.append((row[metric] - base[metric]) / (best[metric] - base[metric]))
            used.append(metric)
        if progress:
            shares.append(sum(progress) / len(progress))
    value = 1000 * sum(shares) / len(shares) if shares else None
    return SuperbScore(value=value, metrics=tuple(used), left_out=left_out)


def unusable(metric: str, row: Row, base: Row, best: Row) -> str:
    """Why a metric cannot enter the score; "" where it can."""
    if metric not in row:
        return "not run"
    if metric not in base:
        return "not run with the base encoder"
    return "the base row is the best of the set" if best[metric] == base[metric] else ""
