"""From the cells' scores to one file: learning rate chosen on dev, probe seeds put together.

The learning rate is chosen once for an encoder, task and track, from dev scores averaged over the
seeds, and never from test scores.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from espnet2.evaluation.cells import parse_cell
from espnet2.evaluation.references import read_json_file
from espnet2.utils.files import write_json
from espnet2.utils.logs import log

CHOSEN_ON = {"multi": "cer_normal", "joint": "cer_normal", "lid": "lid"}
"""The dev metric that picks the learning rate of a task."""

SUMMARISED = (
    "cer_normal",
    "cer_normal_macro",
    "cer_few_shot",
    "cer_few_shot_macro",
    "lid",
    "lid_in_domain",
    "lid_unseen_voice",
)


def summarise(cells: list[Path], failed: list[Path], out: Path) -> dict[str, int]:
    """Write ``out`` (scores.json): every cell's score, and one row an encoder, task and track.

    Args:
        cells: folders that hold a score.json.
        failed: folders of cells without a score; named, never left out in silence.
    """
    scores = [read_json_file(Path(folder) / "score.json") for folder in cells]
    rows = [
        summary_row(key, group)
        for key, group in sorted(grouped(scores, ("encoder", "task", "track")).items())
    ]
    not_scored = [parse_cell(Path(folder)).name for folder in failed]
    write_json(out, {"cells": scores, "rows": rows, "not_scored": not_scored})
    for row in rows:
        log(f"{row['encoder']} {row['task']} {row['track']}: {headline(row)}")
    return {"cells": len(scores), "not_scored": len(not_scored)}


def summary_row(key: tuple[str, ...], scores: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread over seeds, at the learning rate that dev prefers."""
    encoder, task, track = key
    by_lr = {lr: group for (lr,), group in grouped(scores, ("lr",)).items()}
    chosen = choose_lr(by_lr, CHOSEN_ON[task])
    picked = sorted(by_lr[chosen], key=lambda score: score["seed"])
    tests = [score["test"] for score in picked]
    corrupted = picked[0].get("corrupted", {})
    return {
        "encoder": encoder,
        "task": task,
        "track": track,
        "lr": chosen,
        "lr_chosen_on": f"dev {CHOSEN_ON[task]}",
        "lr_dev": {lr: dev_mean(group, CHOSEN_ON[task]) for lr, group in by_lr.items()},
        "seeds": [score["seed"] for score in picked],
        "num_utts": tests[0]["num_utts"],
        "test": test_summary(tests),
        "corrupted": {
            name: test_summary([score["corrupted"][name] for score in picked]) for name in corrupted
        },
    }


def test_summary(tests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each metric of one test split over the seeds, those it has."""
    return {
        name: seed_summary(tests, name) for name in SUMMARISED if tests[0].get(name) is not None
    }


def seed_summary(tests: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    """One metric over the seeds; ``interval`` is the first seed's bootstrap over utterances."""
    values = [test[metric] for test in tests]
    return {
        "mean": round(statistics.fmean(values), 4),
        "sd": round(statistics.stdev(values), 4) if len(values) > 1 else None,
        "spread": round(max(values) - min(values), 4) if len(values) > 1 else None,
        "values": values,
        "interval": tests[0]["intervals"].get(metric),
    }


def choose_lr(by_lr: dict[str, list[dict[str, Any]]], metric: str) -> str:
    """The learning rate with the best mean dev score; ties go to the smaller one."""
    sign = -1 if metric.startswith("lid") else 1

    def rank(lr: str) -> tuple[bool, float, float]:
        value = dev_mean(by_lr[lr], metric)
        return (value is None, sign * (value or 0.0), float(lr))

    return min(by_lr, key=rank)


def dev_mean(scores: list[dict[str, Any]], metric: str) -> float | None:
    """Mean of a dev metric over seeds; None where a seed has none."""
    values = [score["dev"].get(metric) for score in scores]
    return None if None in values else round(statistics.fmean(values), 4)


def grouped(
    scores: Iterable[dict[str, Any]], keys: tuple[str, ...]
) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """Scores by the values of ``keys``."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for score in scores:
        groups[tuple(score[key] for key in keys)].append(score)
    return dict(groups)


def headline(row: dict[str, Any]) -> str:
    """A summary row's main figures in one line."""
    shown = [f"{name} {value['mean']:.1f}" for name, value in row["test"].items()]
    return f"lr {row['lr']}, {len(row['seeds'])} seed(s): " + ", ".join(shown)
