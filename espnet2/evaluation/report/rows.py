"""Reading the summary rows: which encoder is which, figures with their spread, comparisons."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from espnet2.evaluation.report.blocks import Value
from espnet2.evaluation.report.svg import SERIES
from espnet2.evaluation.superb import higher_is_better

METRIC_TITLES = {
    "cer_normal": "CER normal",
    "cer_normal_macro": "CER normal",
    "cer_few_shot": "CER few-shot",
    "mono_cer": "CER",
    "lid": "LID",
    "lid_in_domain": "lid_in_domain",
    "lid_unseen_voice": "lid_unseen_voice",
}
QUALIFIED = {
    "lid_in_domain": "(speaker-confounded)",
    "cer_normal_macro": "mean of languages",
    "mono_cer": "mean of corpora, then of languages",
}
"""What must stand beside a metric wherever its figure does."""

Rows = list[dict[str, Any]]

TASK_TITLES = {
    "multi": "Multilingual ASR",
    "lid": "Language identification",
    "joint": "Joint ASR + LID",
    "mono": "Monolingual ASR",
}
TASK_ORDER = ("joint", "multi", "lid", "mono")
PRETRAINED_COLOURS = (SERIES[0], SERIES[3], SERIES[4], SERIES[5])
BASELINE_COLOURS = {"fbank": SERIES[1], "random": SERIES[2]}


def kind_of(encoder: str) -> str:
    """fbank, random or pretrained, by the encoder's name in the matrix."""
    for kind in BASELINE_COLOURS:
        if encoder == kind or encoder.startswith(f"{kind}_"):
            return kind
    return "pretrained"


def ordered(encoders: Iterable[str]) -> list[str]:
    """Pretrained encoders first, then FBANK, then random weights."""
    order = ("pretrained", "fbank", "random")
    return sorted(set(encoders), key=lambda name: (order.index(kind_of(name)), name))


def palette(encoders: Iterable[str]) -> dict[str, str]:
    """One colour an encoder, the same in every figure."""
    found, pretrained = {}, 0
    for name in ordered(encoders):
        kind = kind_of(name)
        if kind == "pretrained":
            found[name] = PRETRAINED_COLOURS[pretrained % len(PRETRAINED_COLOURS)]
            pretrained += 1
        else:
            found[name] = BASELINE_COLOURS[kind]
    return found


def figure(summary: dict[str, Any] | None, is_best: bool = False) -> Value:
    """``41.2`` with its interval (one seed) or its spread (several)."""
    if summary is None:
        return Value("–")
    if summary["sd"] is not None:
        sub = f"± {summary['sd']:.1f} sd, spread {summary['spread']:.1f}"
    elif summary["interval"]:
        sub = "[{:.1f}, {:.1f}]".format(*summary["interval"])
    else:
        sub = ""
    return Value(f"{summary['mean']:.1f}", sub, is_best)


def metric_title(metric: str) -> Value:
    """A metric's name with what must be known about it."""
    return Value(METRIC_TITLES[metric], QUALIFIED.get(metric, ""))


def is_accuracy(metric: str) -> bool:
    """lid, lid_in_domain, ... grow with quality; error rates shrink."""
    return metric.startswith("lid") or higher_is_better(metric)


def tasks_of(rows: Rows, lost: Iterable[tuple[str, str, str]] = ()) -> list[tuple[str, str]]:
    """(task, track) in the order of the report; ``lost``: (encoder, task, track) without a row."""
    found = {(row["task"], row["track"]) for row in rows} | {
        (task, track) for _, task, track in lost
    }
    return sorted(found, key=lambda pair: (TASK_ORDER.index(pair[0]), pair[1]))


def asr_tasks_of(rows: Rows) -> list[tuple[str, str]]:
    """(task, track) of the tasks that say what was spoken in every language at once."""
    return [pair for pair in tasks_of(rows) if pair[0] in ("joint", "multi")]


def of_task(rows: Rows, task: str, track: str) -> Rows:
    """The rows of one table, encoders in their order."""
    mine = {row["encoder"]: row for row in rows if (row["task"], row["track"]) == (task, track)}
    return [mine[name] for name in ordered(mine)]


def has_unseen_voices(rows: Rows) -> bool:
    """Whether the run's test data tell languages from speakers."""
    return any("lid_unseen_voice" in row["test"] for row in rows)


def metrics_of(
    rows: Rows, is_split: bool, hidden: Collection[str] = ("cer_normal_macro",)
) -> list[str]:
    """The main metrics that these rows have.

    ``is_split``: the run has unseen-voice corpora, so LID is shown in its two parts.
    """
    hidden = {*hidden, *({"lid"} if is_split else {"lid_in_domain", "lid_unseen_voice"})}
    found = [name for name in METRIC_TITLES if any(name in row["test"] for row in rows)]
    return [name for name in found if name not in hidden]


def mean_of(row: dict[str, Any], metric: str) -> float | None:
    """A row's mean of one metric."""
    return row["test"].get(metric, {}).get("mean")


def is_partial(row: dict[str, Any]) -> bool:
    """Whether a monolingual row misses configurations: a mean of fewer corpora than others'."""
    return bool(row.get("missing"))


def best_mean(rows: Iterable[dict[str, Any]], metric: str) -> float | None:
    """The best mean of a metric over whole rows that have it, if at least two have it."""
    having = [row for row in rows if metric in row["test"] and not is_partial(row)]
    means = [row["test"][metric]["mean"] for row in having]
    if len(means) < 2:
        return None
    return max(means) if is_accuracy(metric) else min(means)


@dataclass(frozen=True, kw_only=True)
class Gain:
    """One encoder against another."""

    points: float
    """Points by which the first encoder is better; negative: worse."""

    is_clear: bool
    """More than the noise that was measured."""

    reason: str


def gain(metric: str, ours: dict[str, Any], theirs: dict[str, Any]) -> Gain:
    """How much better ``ours`` is, and whether that is more than noise.

    Several seeds: the gain must exceed both spreads (max - min). One seed: the bootstrap intervals
    over test utterances must not meet.
    """
    sign = 1 if is_accuracy(metric) else -1
    points = sign * (ours["mean"] - theirs["mean"])
    if ours["spread"] is not None and theirs["spread"] is not None:
        spread = max(ours["spread"], theirs["spread"])
        return Gain(points=points, is_clear=abs(points) > spread, reason=f"spread {spread:.1f}")
    a, b = ours["interval"], theirs["interval"]
    if a is None or b is None:
        return Gain(points=points, is_clear=False, reason="no interval")
    is_apart = a[0] > b[1] or b[0] > a[1]
    return Gain(
        points=points,
        is_clear=is_apart,
        reason="intervals apart" if is_apart else "intervals overlap",
    )


def gain_value(one: Gain) -> Value:
    """``25.3 better`` and why it may be believed."""
    word = "better" if one.points > 0 else "worse" if one.points < 0 else "equal"
    sub = one.reason if one.is_clear else f"not clear: {one.reason}"
    return Value(f"{abs(one.points):.1f} {word}", sub, one.is_clear and one.points > 0)


def percent_points(value: float) -> str:
    """A share as percent."""
    return f"{100 * value:.1f} %"
