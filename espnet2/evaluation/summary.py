"""From the cells' scores to one file: learning rate chosen on dev, probe seeds put together.

The learning rate is chosen once for an encoder, task and track, from dev scores averaged over the
seeds, and never from test scores. Monolingual configurations become one row (``mono_summary.py``).
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from espnet2.asr.config import task_kind
from espnet2.evaluation.cells import parse_cell
from espnet2.evaluation.cost import cell_cost
from espnet2.evaluation.mono_summary import mono_row, spread
from espnet2.evaluation.normalisation import NORMALISATION
from espnet2.evaluation.references import read_json_file
from espnet2.utils.files import write_json
from espnet2.utils.logs import log

CHOSEN_ON = {
    "mono": ("cer",),
    "multi": ("cer_normal", "cer"),
    "joint": ("cer_normal", "cer"),
    "lid": ("lid", "superb2_lid"),
}
"""The dev metric that picks the learning rate of a task; the second where every language of dev is
a few-shot one."""

SUMMARISED = (
    "cer",
    "cer_normal",
    "cer_normal_macro",
    "cer_normal_sclite",
    "cer_few_shot",
    "cer_few_shot_macro",
    "cer_few_shot_sclite",
    "lid",
    "lid_macro",
    "lid_in_domain",
    "lid_unseen_voice",
    "superb2_cer",
    "superb2_lid",
    "worst15_cer",
    "cer_language_sd",
    "dialect_cer",
    "dialect_lid",
)

LOGGED = ("mono_cer", "cer_normal", "cer_few_shot", "lid", "lid_in_domain", "lid_unseen_voice")


def summarise(cells: list[Path], failed: dict[str, str], out: Path) -> dict[str, int]:
    """Write ``out`` (scores.json): every cell's score and cost, one row an encoder, task and track.

    Args:
        cells: folders that hold a score.json.
        failed: folder of a cell without a score -> why; named, never left out in silence.
    """
    scores = [read_json_file(Path(folder) / "score.json") for folder in cells]
    reasons = {parse_cell(Path(folder)): reason for folder, reason in failed.items()}
    rows = [*plain_rows(scores), *mono_rows(scores, [cell.task for cell in reasons])]
    rows.sort(key=lambda row: (row["encoder"], row["task"], row["track"]))
    costs = [cell_cost(Path(folder)) for folder in cells]
    lost = [
        {"cell": cell.name, "task": cell.task, "track": cell.track, "reason": reasons[cell]}
        for cell in sorted(reasons, key=lambda cell: cell.name)
    ]
    summary = {
        "cells": [{**score, "cost": cost} for score, cost in zip(scores, costs, strict=True)],
        "rows": rows,
        "failed": lost,
        "not_scored": [one["cell"] for one in lost],
    }
    write_json(out, summary)
    for row in rows:
        log(f"{row['encoder']} {row['task']} {row['track']}: {headline(row)}")
    return {"cells": len(scores), "not_scored": len(lost)}


def plain_rows(scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of multi, lid and joint."""
    plain = [score for score in scores if task_kind(score["task"]) != "mono"]
    groups = grouped(plain, ("encoder", "task", "track"))
    return [summary_row(key, group) for key, group in groups.items()]


def mono_rows(scores: list[dict[str, Any]], failed_tasks: list[str]) -> list[dict[str, Any]]:
    """One row an encoder and track over all its monolingual configurations.

    A configuration that no cell of the encoder and track has a score of is missing in its row.
    """
    mono = [score for score in scores if task_kind(score["task"]) == "mono"]
    known = {score["task"] for score in mono}
    known |= {task for task in failed_tasks if task_kind(task) == "mono"}
    rows = []
    for (encoder, track), group in grouped(mono, ("encoder", "track")).items():
        by_task = {task: part for (task,), part in sorted(grouped(group, ("task",)).items())}
        configurations = {
            task: summary_row((encoder, task, track), part) for task, part in by_task.items()
        }
        dev = {task: row["lr_dev"] for task, row in configurations.items()}
        rows.append(mono_row(configurations, dev, sorted(known - by_task.keys())))
    return rows


def summary_row(key: tuple[str, ...], scores: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread over seeds, at the learning rate that dev prefers."""
    encoder, task, track = key
    by_lr = {lr: group for (lr,), group in grouped(scores, ("lr",)).items()}
    metric = dev_metric(CHOSEN_ON[task_kind(task)], scores)
    chosen = choose_lr(by_lr, metric)
    picked = sorted(by_lr[chosen], key=lambda score: score["seed"])
    tests = [score["test"] for score in picked]
    corrupted = picked[0].get("corrupted", {})
    return {
        "encoder": encoder,
        "task": task,
        "track": track,
        "lr": chosen,
        "lr_chosen_on": f"dev {metric}",
        "lr_dev": {lr: dev_mean(group, metric) for lr, group in by_lr.items()},
        "seeds": [score["seed"] for score in picked],
        "num_utts": tests[0]["num_utts"],
        "units": picked[0].get("units", "characters"),
        "normalisation": NORMALISATION,
        "test": over_seeds(tests),
        "corrupted": {
            name: over_seeds([score["corrupted"][name] for score in picked]) for name in corrupted
        },
    }


def over_seeds(tests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each metric of one test split over the seeds, those it has."""
    return {
        name: seed_summary(tests, name) for name in SUMMARISED if tests[0].get(name) is not None
    }


def seed_summary(tests: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    """One metric over the seeds; ``interval`` is the first seed's bootstrap over utterances."""
    values = [test[metric] for test in tests]
    return {**spread(values), "interval": tests[0]["intervals"].get(metric)}


def dev_metric(metrics: tuple[str, ...], scores: list[dict[str, Any]]) -> str:
    """The first of the metrics that a dev score has."""
    there = (m for m in metrics if any(score["dev"].get(m) is not None for score in scores))
    return next(there, metrics[0])


def choose_lr(by_lr: dict[str, list[dict[str, Any]]], metric: str) -> str:
    """The learning rate with the best mean dev score; ties go to the smaller one.

    Rates of which a seed failed come after those with all: the seed that survived proves little.
    """
    sign = -1 if metric.endswith("lid") else 1

    def rank(lr: str) -> tuple[bool, int, float, float]:
        value = dev_mean(by_lr[lr], metric)
        return (value is None, -len(by_lr[lr]), sign * (value or 0.0), float(lr))

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
    test: Mapping[str, dict[str, Any]] = row["test"]
    shown = [f"{name} {test[name]['mean']:.1f}" for name in LOGGED if name in test]
    rate = row["lr"] if isinstance(row["lr"], str) else f"of {len(row['lr'])} configurations"
    return f"lr {rate}, {len(row['seeds'])} seed(s): " + ", ".join(shown)
