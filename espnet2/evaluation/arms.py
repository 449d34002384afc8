"""Pre-trainings that differ in one thing, several seeds of each: who is better, and by how much.

Encoders named ``<arm>_s<seed>`` belong together. Arms are compared seed by seed: the same seed
means the same first weights and the same batches, so that differences vary less than figures do.
"""

import re
import statistics
from dataclasses import dataclass
from typing import Any

from espnet2.evaluation.report.blocks import Table, Value, table_markdown
from espnet2.evaluation.report.rows import (
    METRIC_TITLES,
    TASK_TITLES,
    is_accuracy,
    metrics_of,
    tasks_of,
)
from espnet2.utils.errors import DataError

MEMBER = re.compile(r"(?P<arm>.+)_s(?P<seed>\d+)")
CLEAN = "test"
Rows = list[dict[str, Any]]
Members = dict[int | None, dict[str, Any]]  # seed -> row; None: no seed of pre-training


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One arm minus another, over the seeds that both have, in points."""

    mean: float
    lowest: float
    highest: float
    seeds: int

    @property
    def has_one_sign(self) -> bool:
        """Every seed says the same."""
        return self.lowest > 0 or self.highest < 0


def arms_of(rows: Rows) -> dict[str, Members]:
    """arm -> its rows by seed, those of one task and track; an encoder without a seed is alone."""
    arms: dict[str, Members] = {}
    for row in rows:
        match = MEMBER.fullmatch(row["encoder"])
        arm, seed = (match["arm"], int(match["seed"])) if match else (row["encoder"], None)
        arms.setdefault(arm, {})[seed] = row
    return arms


def values_of(members: Members, split: str, metric: str) -> dict[int | None, float]:
    """seed -> the metric on a test split: ``test`` or the name of a corrupted one."""
    found = {}
    for seed, row in sorted(members.items(), key=lambda item: item[0] or 0):
        metrics = row["test"] if split == CLEAN else row.get("corrupted", {}).get(split, {})
        if metric in metrics:
            found[seed] = metrics[metric]["mean"]
    return found


def difference(ours: dict[int | None, float], theirs: dict[int | None, float]) -> Difference | None:
    """``ours - theirs`` seed by seed; None where they share no seed."""
    shared = sorted(seed for seed in ours.keys() & theirs.keys() if seed is not None)
    points = [ours[seed] - theirs[seed] for seed in shared]
    if not points:
        return None
    return Difference(
        mean=statistics.fmean(points), lowest=min(points), highest=max(points), seeds=len(points)
    )


def comparison(rows: Rows, against: str) -> str:
    """Markdown: for each task and metric the arms on every test, and their gains over ``against``.

    rows: of scores.json.

    Raises:
        DataError: there is no such arm.
    """
    tables = []
    for task, track in tasks_of(rows):
        arms = arms_of([row for row in rows if (row["task"], row["track"]) == (task, track)])
        if against not in arms:
            raise DataError(f"no encoder is named {against}_s<seed>; there are {', '.join(arms)}")
        member = next(iter(arms[against].values()))
        splits = [CLEAN, *member.get("corrupted", {})]
        for metric in metrics_of([member], "lid_unseen_voice" in member["test"]):
            title = f"{METRIC_TITLES[metric]}, {TASK_TITLES[task]}, {track}"
            tables.append(arms_table(arms, against, splits, metric, title))
    return "\n\n".join(map(table_markdown, tables)) + "\n"


def arms_table(
    arms: dict[str, Members], against: str, splits: list[str], metric: str, title: str
) -> Table:
    """A row an arm: mean and spread on each test; then a row of what each gains."""
    figures = [
        [arm, str(len(members)), *(figure(values_of(members, s, metric)) for s in splits)]
        for arm, members in arms.items()
    ]
    gains = [
        [
            f"{arm}, better than {against} by",
            str(len(members.keys() & arms[against].keys())),
            *(
                better(metric, values_of(members, s, metric), values_of(arms[against], s, metric))
                for s in splits
            ),
        ]
        for arm, members in arms.items()
        if arm != against and None not in members
    ]
    return Table(
        caption=f"{title}: mean over the seeds of pre-training (spread: max - min); gains in "
        "points, same seed against same seed (lowest to highest), bold: better in every seed",
        columns=["arm", "seeds", *("clean" if split == CLEAN else split for split in splits)],
        rows=[*figures, *gains],
    )


def figure(values: dict[int | None, float]) -> Value:
    """Mean, and spread where there are several."""
    if not values:
        return Value("–")
    several = list(values.values())
    spread = f"({max(several) - min(several):.1f})" if len(several) > 1 else ""
    return Value(f"{statistics.fmean(several):.1f}", spread)


def better(metric: str, ours: dict[int | None, float], theirs: dict[int | None, float]) -> Value:
    """``+1.2 (0.4 to 2.0)``; error rates count downwards."""
    found = difference(ours, theirs)
    if found is None:
        return Value("–")
    sign = 1 if is_accuracy(metric) else -1
    low, high = sorted((sign * found.lowest, sign * found.highest))
    return Value(f"{sign * found.mean:+.1f}", f"({low:+.1f} to {high:+.1f})",
                 is_best=found.has_one_sign and low > 0)  # fmt: skip
