"""Sections about scores: the result tables, what pre-training bought, the paper's table."""

from typing import Any

from espnet2.evaluation.golden import METRICS
from espnet2.evaluation.report_blocks import (
    Block,
    Figure,
    Figures,
    Section,
    Table,
    Text,
    Value,
    section,
)
from espnet2.evaluation.report_figures import Dot, dots
from espnet2.evaluation.report_rows import (
    METRIC_TITLES,
    TASK_ORDER,
    TASK_TITLES,
    best_mean,
    figure,
    gain,
    gain_value,
    is_accuracy,
    kind_of,
    metric_title,
    ordered,
    palette,
)
from espnet2.evaluation.superb import higher_is_better

Rows = list[dict[str, Any]]

BENCHMARK_TITLES = {
    "mono_cer": "mono CER",
    "multi_cer": "multi CER",
    "multi_few_shot": "multi few-shot",
    "lid_lid": "LID",
    "joint_lid": "joint LID",
    "joint_cer": "joint CER",
    "joint_few_shot": "joint few-shot",
}
CER_NOTE = (
    "CER in percent: edits per 100 reference characters, spaces between words counted, language "
    "tags left out, pooled over the utterances of the split as the benchmark does. LID in percent "
    "of utterances of normal languages whose first [iso] is right. One seed: 95 % bootstrap "
    "interval over test utterances. Several: standard deviation and spread (max - min). Bold: "
    "best of the column."
)
CONFOUNDED_NOTE = (
    "In-domain LID is confounded: with about one speaker a language, a probe can name the language "
    "by recognising the speaker or the microphone. Unseen-voice LID is the honest figure: the same "
    "synthetic voices speak every language, and test voices and sentences were not heard in "
    "training."
)


def results_section(rows: Rows, not_trained: list[str]) -> Section:
    """All rows, whatever they say."""
    blocks: list[Block] = [Figures(figures=forest_figures(rows))]
    for task, track in tasks_of(rows):
        blocks.append(task_table(rows, task, track))
    blocks.append(Text(text=CER_NOTE))
    if has_unseen_voices(rows):
        blocks.append(Text(text=CONFOUNDED_NOTE, is_warning=True))
    if not_trained:
        names = ", ".join(not_trained)
        blocks.append(Text(text=f"Without a trained model, and so without a row: {names}."))
    return section("results", blocks)


def tasks_of(rows: Rows) -> list[tuple[str, str]]:
    """(task, track) in the order of the report."""
    found = {(row["task"], row["track"]) for row in rows}
    return sorted(found, key=lambda pair: (TASK_ORDER.index(pair[0]), pair[1]))


def of_task(rows: Rows, task: str, track: str) -> Rows:
    """The rows of one table, encoders in their order."""
    mine = {row["encoder"]: row for row in rows if (row["task"], row["track"]) == (task, track)}
    return [mine[name] for name in ordered(mine)]


def has_unseen_voices(rows: Rows) -> bool:
    """Whether the run's test data tell languages from speakers."""
    return any("lid_unseen_voice" in row["test"] for row in rows)


def metrics_of(rows: Rows, is_split: bool) -> list[str]:
    """The main metrics that these rows have.

    ``is_split``: the run has unseen-voice corpora, so LID is shown in its two parts.
    """
    hidden = {"lid"} if is_split else {"lid_in_domain", "lid_unseen_voice"}
    found = [name for name in METRIC_TITLES if any(name in row["test"] for row in rows)]
    return [name for name in found if name not in hidden]


def task_table(rows: Rows, task: str, track: str) -> Table:
    """Encoders as rows, metrics as columns."""
    mine = of_task(rows, task, track)
    metrics = metrics_of(mine, has_unseen_voices(rows))
    best = {metric: {best_mean(mine, metric)} - {None} for metric in metrics}
    return Table(
        caption=f"{TASK_TITLES[task]}, {track} ({mine[0]['num_utts']} test utterances)",
        columns=["encoder", *map(metric_title, metrics), "seeds", Value("lr", "chosen on dev")],
        rows=[
            [
                encoder_value(row["encoder"]),
                *(figure(row["test"].get(m), is_best=mean_of(row, m) in best[m]) for m in metrics),
                str(len(row["seeds"])),
                row["lr"],
            ]
            for row in mine
        ],
    )


def encoder_value(name: str) -> Value:
    """An encoder's name, and its kind where the name does not say it."""
    kind = kind_of(name)
    return Value(name, "" if name.startswith(kind) else kind)


def mean_of(row: dict[str, Any], metric: str) -> float | None:
    """A row's mean of one metric."""
    return row["test"].get(metric, {}).get("mean")


def forest_figures(rows: Rows) -> list[Figure]:
    """Error rates and accuracies of every task at a glance."""
    colour = palette(row["encoder"] for row in rows)
    several_tracks = len({row["track"] for row in rows}) > 1
    found = []
    for kind, title, want in (
        ("cer", "Character error rate, lower is better", False),
        ("lid", "Language identification accuracy, higher is better", True),
    ):
        points = [
            dot(row, metric, task, f" {track}" if several_tracks else "")
            for task, track in tasks_of(rows)
            for metric in metrics_of(of_task(rows, task, track), has_unseen_voices(rows))
            if is_accuracy(metric) == want
            for row in of_task(rows, task, track)
            if metric in row["test"]
        ]
        if points:
            alt = f"{title}: " + "; ".join(f"{p.row} {p.series} {p.value:.1f}" for p in points)
            svg = dots(f"forest-{kind}", alt, points, "percent", colour)
            note = "Lines: 95 % interval of one seed, or lowest to highest of several."
            found.append(Figure(svg=svg, title=title, note=note))
    return found


def dot(row: dict[str, Any], metric: str, task: str, track: str) -> Dot:
    """One encoder's value, with its interval or its range over seeds."""
    one = row["test"][metric]
    several = len(one["values"]) > 1
    ends = (min(one["values"]), max(one["values"])) if several else one["interval"] or (None, None)
    short = {"lid_in_domain": "in-domain", "lid_unseen_voice": "unseen voice", "lid": "all"}
    name = short.get(metric, metric.removeprefix("cer_").replace("_", "-"))
    return Dot(
        row=f"{task}{track} {name}", series=row["encoder"], value=one["mean"],
        low=ends[0], high=ends[1],
    )  # fmt: skip


def gains_section(rows: Rows) -> Section:
    """Each pretrained encoder against the two baselines."""
    blocks: list[Block] = []
    for task, track in tasks_of(rows):
        mine = of_task(rows, task, track)
        baselines = [row for row in mine if kind_of(row["encoder"]) != "pretrained"]
        for ours in (row for row in mine if kind_of(row["encoder"]) == "pretrained"):
            if baselines:
                metrics = metrics_of([ours], has_unseen_voices(rows))
                title = f"{TASK_TITLES[task]}, {track}"
                blocks.append(gains_table(ours, baselines, metrics, title))
    if not blocks:
        blocks.append(Text(text="No baseline was run beside a pretrained encoder."))
    return section("gains", blocks)


def gains_table(ours: dict[str, Any], baselines: Rows, metrics: list[str], title: str) -> Table:
    """Differences in points, and whether they exceed the measured noise."""
    return Table(
        caption=f"{title}: {ours['encoder']} against the baselines, in points",
        columns=["metric", ours["encoder"], *(f"vs {row['encoder']}" for row in baselines)],
        rows=[
            [
                metric_title(metric),
                figure(ours["test"][metric]),
                *(
                    gain_value(gain(metric, ours["test"][metric], row["test"][metric]))
                    if metric in row["test"]
                    else Value("–")
                    for row in baselines
                ),
            ]
            for metric in metrics
        ],
    )


def paper_section(superb: dict[str, Any]) -> Section:
    """SUPERB_s inside this run, and the paper's table."""
    blocks: list[Block] = []
    for track, run in superb["run"].items():
        blocks.append(run_table(track, run))
        if not run["comparable_with_the_paper"]:
            text = (
                "SUPERB_s of this run is not comparable with the paper's: other test data, and "
                f"the scale runs from this run's own {run['base']} row (0) to the best of its own "
                f"{len(run['set'])} rows (1000 on each metric). It ranks the rows above, no more."
            )
            blocks.append(Text(text=text, is_warning=True))
    blocks += [published_table(track, rows) for track, rows in superb["published"].items()]
    names = ", ".join(superb["reference_set"])
    blocks.append(
        Text(
            text=f"Published rows: XEUS paper (arXiv 2407.00837). SUPERB_s is relative to the set "
            f"{names}; recomputed from the table's one decimal and truncated as in the paper, so "
            "a recomputed score can differ from the printed one by 1."
        )
    )
    return section("superb", blocks)


def run_table(track: str, run: dict[str, Any]) -> Table:
    """This run's rows."""
    names = ordered(run["rows"])
    shown = [m for m in METRICS if any(m in run["rows"][name]["metrics"] for name in names)]
    used = sorted({m for name in names for m in run["rows"][name].get("scored_metrics", [])})
    left = {k: v for name in names for k, v in run["rows"][name].get("left_out", {}).items()}
    why = "; ".join(f"{BENCHMARK_TITLES[name]}: {reason}" for name, reason in sorted(left.items()))
    scores = [run["rows"][name].get("printed") for name in names]
    against = run["comparable_with_the_paper"]
    columns = ["encoder", "SUPERB_s (this run)", *(BENCHMARK_TITLES[m] for m in shown)]
    rows = [
        [name, "–" if score is None else str(score)]
        + [metric_text(run["rows"][name]["metrics"], m) for m in shown]
        for name, score in zip(names, scores, strict=True)
    ]
    if against:
        columns.append("SUPERB_s (paper's set)")
        rows = [
            [*row, str(run["rows"][name]["against_paper_set"]["printed"])]
            for name, row in zip(names, rows, strict=True)
        ]
    note = run.get("missing") or f"Scored on {len(used)} of 7 metrics; left out: {why or 'none'}."
    return Table(caption=f"This run, {track}", columns=columns, rows=rows, note=note)


def published_table(track: str, rows: dict[str, dict[str, Any]]) -> Table:
    """The paper's rows of one track."""
    best = {
        metric: (max if higher_is_better(metric) else min)(
            row["metrics"][metric] for row in rows.values()
        )
        for metric in METRICS
    }
    return Table(
        caption=f"Published, {track}",
        columns=["model", "SUPERB_s printed", "recomputed", *BENCHMARK_TITLES.values()],
        rows=[
            [
                name,
                "–" if row["as_published"] is None else str(row["as_published"]),
                f"{row['superb_s']:.1f}",
                *(
                    Value(metric_text(row["metrics"], m), is_best=row["metrics"][m] == best[m])
                    for m in METRICS
                ),
            ]
            for name, row in rows.items()
        ],
        marked=frozenset(i for i, name in enumerate(rows) if name == "XEUS"),
    )


def metric_text(metrics: dict[str, float], name: str) -> str:
    """One figure with one decimal; a dash where it was not run."""
    return f"{metrics[name]:.1f}" if name in metrics else "–"
