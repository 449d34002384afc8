"""Sections about scores: the result tables, what pre-training bought, the paper's table."""

from typing import Any

from espnet2.evaluation.report.blocks import (
    Block,
    Details,
    Figure,
    Figures,
    Section,
    Table,
    Text,
    Value,
    section,
)
from espnet2.evaluation.report.corrupted import corrupted_tables
from espnet2.evaluation.report.figures import Dot, dots
from espnet2.evaluation.report.rows import (
    TASK_TITLES,
    best_mean,
    figure,
    gain,
    gain_value,
    has_unseen_voices,
    is_accuracy,
    is_partial,
    kind_of,
    mean_of,
    metric_title,
    metrics_of,
    of_task,
    ordered,
    palette,
    tasks_of,
)
from espnet2.utils.words import counted

Rows = list[dict[str, Any]]
Group = tuple[str, str, str]  # encoder, task, track

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


def results_section(
    rows: Rows, notes: dict[Group, str], conditions: dict[str, dict[str, Any]]
) -> Section:
    """All rows, whatever they say.

    notes: (encoder, task, track) -> how many of its cells have no score. conditions: what the
    corrupted tests are heard in.
    """
    blocks: list[Block] = [Figures(figures=forest_figures(rows))]
    scored = tasks_of(rows)
    for task, track in tasks_of(rows, notes):
        blocks.append(task_table(rows, task, track, notes))
        if (task, track) in scored:
            blocks += corrupted_tables(rows, task, track, conditions)
            blocks += rates_details(rows, task, track)
    blocks.append(Text(text=CER_NOTE))
    if has_unseen_voices(rows):
        blocks.append(Text(text=CONFOUNDED_NOTE, is_warning=True))
    return section("results", blocks)


def task_table(rows: Rows, task: str, track: str, notes: dict[Group, str]) -> Table:
    """Encoders as rows, metrics as columns; an encoder whose cells all failed has a row too."""
    mine = of_task(rows, task, track)
    metrics = metrics_of(mine, has_unseen_voices(rows), hidden=())
    best = {metric: {best_mean(mine, metric)} - {None} for metric in metrics}
    scored = {row["encoder"] for row in mine}
    lost = ordered(e for e, *group in notes if group == [task, track] and e not in scored)
    count = f" ({counted(mine[0]['num_utts'], 'test utterance')})" if mine else ""
    return Table(
        caption=f"{TASK_TITLES[task]}, {track}{count}",
        columns=["encoder", *map(metric_title, metrics), "seeds", Value("lr", "chosen on dev")],
        rows=[
            [
                encoder_value(row["encoder"], notes.get((row["encoder"], task, track), "")),
                *(
                    figure(row["test"].get(m), mean_of(row, m) in best[m] and not is_partial(row))
                    for m in metrics
                ),
                str(len(row["seeds"])),
                rate_chosen(row),
            ]
            for row in mine
        ]
        + [
            [encoder_value(e, notes[e, task, track]), *("–" for _ in metrics), "0", "–"]
            for e in lost
        ],
    )


def rate_chosen(row: dict[str, Any]) -> Value:
    """The learning rate; a monolingual row has one a configuration."""
    if not isinstance(row["lr"], dict):
        return Value(row["lr"])
    rates = sorted(set(row["lr"].values()), key=float)
    return Value(", ".join(rates), "one a corpus" if len(rates) > 1 else "")


def rates_details(rows: Rows, task: str, track: str) -> list[Block]:
    """Every learning rate that was tried, by its dev score; nothing where there was no choice."""
    mine = [row for row in of_task(rows, task, track) if isinstance(row["lr"], str)]
    rates = sorted({lr for row in mine for lr in row["lr_dev"]}, key=float)
    if len(rates) < 2:
        return []
    chosen_on = mine[0]["lr_chosen_on"]
    table = Table(
        caption=f"{TASK_TITLES[task]}, {track}: {chosen_on} by learning rate",
        columns=["encoder", *rates],
        rows=[[row["encoder"], *(rate_value(row, lr) for lr in rates)] for row in mine],
    )
    return [Details(summary=f"Table: {table.caption}", blocks=[table])]


def rate_value(row: dict[str, Any], lr: str) -> Value:
    """The dev score of one learning rate; bold where it was chosen."""
    score = row["lr_dev"].get(lr)
    return Value("–" if score is None else f"{score:.1f}", is_best=lr == row["lr"])


def encoder_value(name: str, note: str = "") -> Value:
    """An encoder's name, its kind where the name does not say it, and what must be known."""
    kind = kind_of(name)
    return Value(name, f"{'' if name.startswith(kind) else kind} {note}".strip())


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
    short = {
        "lid_in_domain": "in-domain", "lid_unseen_voice": "unseen voice", "lid": "all",
        "mono_cer": "",
    }  # fmt: skip
    name = short.get(metric, metric.removeprefix("cer_").replace("_", "-"))
    return Dot(
        row=f"{task}{track} {name}".strip(), series=row["encoder"], value=one["mean"],
        low=ends[0], high=ends[1],
    )  # fmt: skip


def gains_section(rows: Rows) -> Section:
    """Each pretrained encoder against the baselines; nothing where none was run."""
    blocks: list[Block] = []
    for task, track in tasks_of(rows):
        mine = of_task(rows, task, track)
        baselines = [row for row in mine if kind_of(row["encoder"]) != "pretrained"]
        for ours in (row for row in mine if kind_of(row["encoder"]) == "pretrained"):
            if baselines:
                metrics = metrics_of([ours], has_unseen_voices(rows))
                title = f"{TASK_TITLES[task]}, {track}"
                blocks.append(gains_table(ours, baselines, metrics, title))
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
                *(gain_or_why(metric, ours, row) for row in baselines),
            ]
            for metric in metrics
        ],
    )


def gain_or_why(metric: str, ours: dict[str, Any], row: dict[str, Any]) -> Value:
    """The gain over one baseline; a dash where the two were not measured on the same."""
    if metric not in row["test"]:
        return Value("–")
    if is_partial(ours) or is_partial(row):
        return Value("–", "(not the same corpora)")
    return gain_value(gain(metric, ours["test"][metric], row["test"][metric]))
