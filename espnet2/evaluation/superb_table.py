"""superb.json: the paper's rows with their SUPERB_s, and this run's own score beside them."""

from collections.abc import Mapping
from typing import Any

from espnet2.evaluation.golden import (
    BASE,
    METRICS,
    PAPER_SET,
    PUBLISHED_SCORES,
    ROWS,
    SETS,
    TRACKS,
    row,
)
from espnet2.evaluation.superb import SuperbScore, best_values, superb_score

OWN_SET = "rows of this run"
RUN_METRICS = {
    ("mono", "mono_cer"): "mono_cer",
    ("multi", "cer_normal"): "multi_cer",
    ("multi", "cer_few_shot"): "multi_few_shot",
    ("lid", "lid"): "lid_lid",
    ("joint", "lid"): "joint_lid",
    ("joint", "cer_normal"): "joint_cer",
    ("joint", "cer_few_shot"): "joint_few_shot",
}
"""(task, metric of the summary) -> metric of the benchmark's table."""


def superb_tables(
    rows: list[dict[str, Any]], base_encoder: str, is_benchmark: bool
) -> dict[str, Any]:
    """Everything superb.json holds; ``rows`` are those of scores.json."""
    return {
        "formula": "1000/T * sum_tasks 1/M * sum_metrics (s - s(base)) / (s(best) - s(base))",
        "truncated": "towards zero, as in the paper",
        "source": "XEUS paper (arXiv 2407.00837), ML-SUPERB",
        "reference_set": list(PAPER_SET),
        "sets": {name: list(models) for name, models in SETS.items()},
        "published": {track: published_rows(track) for track in TRACKS},
        "run": {
            track: run_rows(values, track, base_encoder, is_benchmark, incomplete(rows, track))
            for track, values in sorted(benchmark_values(rows).items())
        },
    }


def published_rows(track: str) -> dict[str, dict[str, Any]]:
    """Each published model's values, its SUPERB_s recomputed from them, and as printed."""
    found = {}
    for model in ROWS:
        by_set = scores_by_set(row(model, track), track)
        in_set = model in PAPER_SET
        found[model] = {
            "metrics": row(model, track),
            **by_set["XEUS paper"],
            "by_set": by_set,
            "in_reference_set": in_set,
            "as_published": PUBLISHED_SCORES[model][TRACKS.index(track)] if in_set else None,
        }
    return found


def benchmark_values(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """track -> encoder -> the benchmark metrics that were run (mean over seeds)."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for one in rows:
        for (task, metric), name in RUN_METRICS.items():
            if one["task"] == task and metric in one["test"] and not one.get("missing"):
                values = found.setdefault(one["track"], {}).setdefault(one["encoder"], {})
                values[name] = one["test"][metric]["mean"]
    return found


def incomplete(rows: list[dict[str, Any]], track: str) -> dict[str, str]:
    """Encoder -> why its monolingual row is no figure of the benchmark, where it is none."""
    return {
        one["encoder"]: f"{len(one['missing'])} of "
        f"{len(one['missing']) + len(one['configurations'])} configurations have no score"
        for one in rows
        if one["track"] == track and one.get("missing")
    }


def run_rows(
    values: Mapping[str, Mapping[str, float]], track: str, base_encoder: str, is_benchmark: bool,
    mono_reasons: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    """SUPERB_s inside this run: its own FBANK is the base, its own rows are the set.

    On the benchmark's data there is also the score against the published sets. ``mono_reasons``:
    encoder -> why it has no monolingual figure.
    """
    facts: dict[str, Any] = {
        "base": base_encoder,
        "set": sorted(values),
        "comparable_with_the_paper": is_benchmark,
        "rows": {},
    }
    if base_encoder not in values:
        facts["missing"] = f"no row of the base encoder {base_encoder!r}, so no score"
    best = best_values(values.values())
    for encoder, metrics in sorted(values.items()):
        one: dict[str, Any] = {"metrics": dict(metrics)}
        if base_encoder in values:
            one |= score_facts(superb_score(metrics, values[base_encoder], best), OWN_SET)
        if is_benchmark:
            one["by_set"] = scores_by_set(metrics, track)
            one["against_paper_set"] = one["by_set"]["XEUS paper"]
        if encoder in mono_reasons:
            for left_out in (one, *one.get("by_set", {}).values()):
                left_out.get("left_out", {})["mono_cer"] = mono_reasons[encoder]
        facts["rows"][encoder] = one
    return facts


def scores_by_set(metrics: Mapping[str, float], track: str) -> dict[str, dict[str, Any]]:
    """SUPERB_s with the paper's FBANK row and the best of each published set."""
    found = {}
    for name, models in SETS.items():
        best = best_values(row(model, track) for model in models)
        found[name] = score_facts(superb_score(metrics, row(BASE, track), best), name)
    return found


def score_facts(score: SuperbScore, set_name: str) -> dict[str, Any]:
    """A score as plain data, with the set it is relative to."""
    return {
        "superb_s": None if score.value is None else round(score.value, 2),
        "printed": score.printed,
        "set": set_name,
        "scored_metrics": [name for name in METRICS if name in score.metrics],
        "left_out": score.left_out,
    }
