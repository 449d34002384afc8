"""The top of the report: headline figures and one honest sentence."""

from typing import Any

from espnet2.evaluation.golden import METRICS
from espnet2.evaluation.report.inputs import ReportInputs
from espnet2.evaluation.report.page import Head, Tile
from espnet2.evaluation.report.rows import (
    METRIC_TITLES,
    gain,
    has_unseen_voices,
    is_accuracy,
    is_partial,
    kind_of,
    of_task,
    tasks_of,
)
from espnet2.evaluation.report.run import last
from espnet2.evaluation.report.superb import COMPARED

Rows = list[dict[str, Any]]
SPOKEN = {
    "cer_normal": "character error rate",
    "mono_cer": "character error rate",
    "lid": "language identification",
    "lid_unseen_voice": "unseen-voice language identification",
}


def report_head(
    title: str, inputs: ReportInputs, superb: dict[str, Any], provenance: dict[str, str]
) -> Head:
    """Title, lead, tiles and the line of facts."""
    rows = inputs.scores["rows"]
    meta = f"commit {provenance['commit']} · {provenance['time']} · {provenance['hardware']}"
    tiles = [
        *superb_tiles(superb),
        *accuracy_tile(inputs),
        *(tile for metric in headline_metrics(rows) for tile in metric_tile(rows, metric)),
        *hours_tile(inputs),
        *time_tile(inputs),
    ]
    return Head(title=title, lead=lead(rows), meta=meta, tiles=tiles)


def headline_metrics(rows: Rows) -> tuple[str, str]:
    """The error rate, and the accuracy that speakers do not confound where there is one."""
    has_all = any("cer_normal" in row["test"] for row in rows)
    rate = "cer_normal" if has_all else "mono_cer"
    return rate, "lid_unseen_voice" if has_unseen_voices(rows) else "lid"


def headline_rows(rows: Rows, metric: str) -> tuple[dict[str, Any] | None, Rows, str]:
    """(best pretrained row, baseline rows, task) of the first task that has the metric."""
    tasks = sorted(tasks_of(rows), key=lambda pair: is_accuracy(metric) and pair[0] != "lid")
    for task, track in tasks:
        having = [row for row in of_task(rows, task, track) if metric in row["test"]]
        mine = [row for row in having if not is_partial(row)]
        ours = [row for row in mine if kind_of(row["encoder"]) == "pretrained"]
        if ours:
            sign = -1 if is_accuracy(metric) else 1
            best = min(ours, key=lambda row: sign * row["test"][metric]["mean"])
            others = [row for row in mine if kind_of(row["encoder"]) != "pretrained"]
            return best, others, f"{task}, {track}"
    return None, [], ""


def lead(rows: Rows) -> str:
    """What pre-training bought, in words that follow the numbers."""
    parts = []
    for metric in headline_metrics(rows):
        ours, others, task = headline_rows(rows, metric)
        if ours is None or not others:
            continue
        said = [versus(metric, ours, other) for other in others]
        name = SPOKEN[metric]
        parts.append(f"In {name} ({task}), {ours['encoder']} is {' and '.join(said)}.")
    return " ".join(parts) or "Scores of the encoders below, measured with the same probe."


def versus(metric: str, ours: dict[str, Any], other: dict[str, Any]) -> str:
    """``25.0 points better than random`` or its opposite; noise is called noise."""
    one = gain(metric, ours["test"][metric], other["test"][metric])
    if not one.is_clear:
        return f"not clearly different from {other['encoder']} ({one.points:+.1f})"
    word = "better" if one.points > 0 else "worse"
    return f"{abs(one.points):.1f} points {word} than {other['encoder']}"


def metric_tile(rows: Rows, metric: str) -> list[Tile]:
    """The best pretrained encoder's figure, baselines beneath."""
    ours, others, task = headline_rows(rows, metric)
    if ours is None:
        return []
    note = " · ".join(f"{row['encoder']} {row['test'][metric]['mean']:.1f}" for row in others)
    value = f"{ours['test'][metric]['mean']:.1f}"
    label = f"{METRIC_TITLES[metric]} ({task})"
    return [Tile(label=label, value=value, unit="%", note=note)]


def superb_tiles(superb: dict[str, Any]) -> list[Tile]:
    """On the benchmark: each track's best SUPERB_s of a pretrained encoder, XEUS' beneath."""
    tiles = []
    for track, run in superb["run"].items():
        scored = {
            name: row["against_paper_set"]
            for name, row in run["rows"].items()
            if kind_of(name) == "pretrained" and "against_paper_set" in row
        }
        known = [name for name, score in scored.items() if score["printed"] is not None]
        if not known:
            continue
        name = max(known, key=lambda one: (not scored[one]["left_out"], scored[one]["superb_s"]))
        score, published = scored[name], superb["published"][track][COMPARED]
        value, note = str(score["printed"]), f"{name} · {COMPARED} {published['as_published']}"
        if score["left_out"]:
            value += " *"
            note += f" · * on {len(score['scored_metrics'])} of {len(METRICS)} metrics only"
        tiles.append(Tile(label=f"SUPERB_s, {track}", value=value, note=note))
    return tiles


def accuracy_tile(inputs: ReportInputs) -> list[Tile]:
    """Masked accuracy in multiples of always guessing the commonest cluster."""
    accuracy = last(inputs.pretraining, "masked_acc")
    if accuracy is None:
        return []
    share = last(inputs.pretraining, "majority_share")
    note = f"{accuracy / share:.1f} × the majority class" if share else ""
    label = "Masked accuracy"
    return [Tile(label=label, value=f"{100 * accuracy:.1f}", unit="%", note=note)]


def hours_tile(inputs: ReportInputs) -> list[Tile]:
    """Audio the encoder learned from."""
    if not inputs.hours:
        return []
    train = inputs.hours["train"]
    note = f"{len(train['languages'])} languages, {train['total']['utterances']:,} utterances"
    hours = f"{train['total']['hours']:,.1f}"
    return [Tile(label="Pre-training audio", value=hours, unit="h", note=note)]


def time_tile(inputs: ReportInputs) -> list[Tile]:
    """Wall time of all recorded stages."""
    if not inputs.stage_times:
        return []
    total = sum(time.seconds for time in inputs.stage_times)
    longest = max(inputs.stage_times, key=lambda time: time.seconds)
    note = f"longest: {longest.name}, {longest.seconds:.0f} s"
    if total >= 7200:
        return [Tile(label="Wall time", value=f"{total / 3600:.1f}", unit="h", note=note)]
    return [Tile(label="Wall time", value=f"{total / 60:.1f}", unit="min", note=note)]
