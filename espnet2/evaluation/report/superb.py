"""Section about SUPERB_s: the paper's table with this run's rows in it and the differences."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

from espnet2.data.superb import PRIVATE_CODES
from espnet2.data.superb_languages import NORMAL_LANGUAGES, RESERVED_LANGUAGES
from espnet2.evaluation.golden import METRICS, SETS
from espnet2.evaluation.report.blocks import Block, Details, Section, Table, Text, Value, section
from espnet2.evaluation.report.rows import ordered
from espnet2.evaluation.superb import higher_is_better

COMPARED = "XEUS"
"""The published row that differences are taken from."""

PAPER = next(iter(SETS))
"""The set of the paper."""

BENCHMARK_TITLES = {
    "mono_cer": "mono CER",
    "multi_cer": "multi CER",
    "multi_few_shot": "multi few-shot",
    "lid_lid": "LID",
    "joint_lid": "joint LID",
    "joint_cer": "joint CER",
    "joint_few_shot": "joint few-shot",
}
Row = dict[str, Any]
Marks = Mapping[tuple[str, str, str], str]
"""(track, encoder, metric of the table) -> what must stand beside the figure, or in its place."""


def paper_section(
    superb: dict[str, Any], marks: Marks, languages: Mapping[str, list[str]]
) -> Section:
    """On the benchmark's data one table; on other data this run's, and the paper's folded away.

    languages: of the data, as stage 10 lists them, {"normal": [...], "few_shot": [...]}.
    """
    blocks: list[Block] = []
    if any(run["comparable_with_the_paper"] for run in superb["run"].values()):
        blocks += [Text(text=text, is_warning=True) for text in partial_note(languages)]
    for track, run in superb["run"].items():
        if run["comparable_with_the_paper"]:
            blocks.append(joined_table(track, superb["published"].get(track, {}), run, marks))
        elif any(row.get("printed") is not None for row in run["rows"].values()):
            blocks += [run_table(track, run, marks), other_scale(run)]
        else:
            why = run.get("missing") or "no two rows differ, so there is no scale"
            blocks.append(Text(text=f"No SUPERB_s of this run, {track}: {why}."))
    names = ", ".join(superb["reference_set"])
    source = (
        "Published rows: XEUS paper (arXiv 2407.00837); mHuBERT-147 (arXiv 2406.06371) "
        "and WavLabLM-MS are not in its reference set, to which SUPERB_s is relative: "
        f"{names}. The paper prints whole numbers, cut and not rounded, from unrounded "
        "figures; recomputed from the table's one decimal, a score can come out up to 1.1 away."
    )
    blocks.append(Text(text=source))
    for track, rows in superb["published"].items():
        table = published_table(track, rows)
        blocks.append(Details(summary=f"Table: the paper's rows, {track}", blocks=[table]))
    return section("superb", blocks)


def partial_note(languages: Mapping[str, list[str]]) -> list[str]:
    """What a run on a part of the benchmark has to say; nothing where its languages are unknown."""
    whole = {PRIVATE_CODES.get(name, name) for name in (*NORMAL_LANGUAGES, *RESERVED_LANGUAGES)}
    tested = whole.intersection(chain(*languages.values()))
    if not languages or tested == whole:
        return []
    return [
        f"Not the whole benchmark: {len(tested)} of its {len(whole)} languages were tested. The "
        "paper's figures are of all of them: neither they nor SUPERB_s compare with this run's."
    ]


def other_scale(run: Row) -> Text:
    """Why a score on other data is not the paper's."""
    text = (
        "SUPERB_s of this run is not comparable with the paper's: other test data, and "
        f"the scale runs from this run's own {run['base']} row (0) to the best of its own "
        f"{len(run['set'])} rows (1000 on each metric). It ranks the rows above, no more."
    )
    return Text(text=text, is_warning=True)


# ---- On the benchmark: one table


def joined_table(track: str, published: dict[str, Row], run: Row, marks: Marks) -> Table:
    """Published rows and this run's, best SUPERB_s first, incomplete ones last.

    Rows of this run say the difference.
    """
    rows = [(name, row, False) for name, row in published.items()]
    rows += [(name, row, True) for name, row in run["rows"].items()]
    rows.sort(key=lambda one: (not is_whole(one[1]), -score_of(one[1]), one[0]))
    best = best_of(row["metrics"] for _, row, _ in rows)
    others = [name for name in SETS if name != PAPER]
    compared = published.get(COMPARED, {"metrics": {}})
    lines = []
    for name, row, is_ours in rows:
        mine = {metric: marks.get((track, name, metric), "") for metric in METRICS}
        line = own_cells(row, compared, best, mine) if is_ours else published_cells(row, best)
        head = Value(name, "(this run)" if is_ours else "")
        lines.append([head, *line, *(printed_in(row, other) for other in others)])
    return Table(
        caption=f"ML-SUPERB, {track}",
        columns=[
            "model",
            Value("SUPERB_s", f"set: {PAPER}"),
            *BENCHMARK_TITLES.values(),
            *(Value("SUPERB_s", f"set: {name}") for name in others),
        ],
        rows=lines,
        note=joined_note(track, run, marks),
        marked=frozenset(i for i, (_, _, is_ours) in enumerate(rows) if is_ours),
    )


def joined_note(track: str, run: Row, marks: Marks) -> str:
    """What the signs in the table mean, those that are in it."""
    note = (
        f"CER and LID accuracy in percent. Beside the figures of this run: points better or worse "
        f"than {COMPARED}. SUPERB_s is relative to the set that its column names. Bold: best of "
        "the column."
    )
    if any(row["against_paper_set"]["left_out"] for row in run["rows"].values()):
        note += (
            " * SUPERB_s over the metrics that were run, not over all 7: no match for a whole one,"
            " and listed last."
        )
    if any((track, name, "mono_cer") in marks for name in run["rows"]):
        note += " † Its monolingual figure is not quite the benchmark's, as noted beside it."
    return note


def published_cells(row: Row, best: Row) -> list[Value]:
    """A published row: its score and its figures."""
    figures = [Value(metric_text(row["metrics"], m), is_best=is_at(row, m, best)) for m in METRICS]
    return [published_score(row), *figures]


def own_cells(row: Row, compared: Row, best: Row, marks: Mapping[str, str]) -> list[Value]:
    """A row of this run: its score and its figures, with what ``marks`` says of each metric."""
    figures = [own_figure(row, metric, compared, best, marks[metric]) for metric in METRICS]
    return [own_score(row, compared, bool(marks["mono_cer"])), *figures]


def printed_in(row: Row, set_name: str) -> str:
    """SUPERB_s relative to another set."""
    printed = row["by_set"][set_name]["printed"]
    return "–" if printed is None else str(printed)


def is_whole(row: Row) -> bool:
    """Whether the score covers all metrics; one of some is no match for it."""
    return not row.get("against_paper_set", row)["left_out"]


def score_of(row: Row) -> float:
    """SUPERB_s against the paper's set, to sort by; rows without one come last."""
    value = row.get("against_paper_set", row).get("superb_s")
    return float("-inf") if value is None else value


def published_score(row: Row) -> Value:
    """As printed by the paper, else as computed from the row."""
    if row["as_published"] is not None:
        return Value(str(row["as_published"]))
    return Value(str(row["printed"]), "(recomputed)")


def own_score(row: Row, compared: Row, is_marked: bool) -> Value:
    """This run's score and its distance from the compared row's.

    is_marked: its monolingual figure is not quite the benchmark's.
    """
    score = row["against_paper_set"]
    if score["printed"] is None:
        return Value("–")
    if score["left_out"]:
        return Value(f"{score['printed']} *", f"({len(score['scored_metrics'])} of 7 metrics)")
    printed, other = score["printed"], compared.get("as_published")
    dagger = " †" if is_marked else ""
    apart = "" if other is None else difference(printed, other, "{:.0f}")
    return Value(f"{printed}{dagger}", apart)


def own_figure(row: Row, metric: str, compared: Row, best: Row, mark: str) -> Value:
    """A figure of this run: the difference, and what else must be known about it."""
    metrics = row["metrics"]
    if metric not in metrics:
        return Value("–", mark or f"({reason_of(row, metric)})")
    parts = [mark] if mark else []
    if metric in compared["metrics"]:
        sign = 1 if higher_is_better(metric) else -1
        parts.insert(0, difference(sign * metrics[metric], sign * compared["metrics"][metric]))
    return Value(metric_text(metrics, metric), " ".join(parts), is_at(row, metric, best))


def difference(ours: float, theirs: float, form: str = "{:.1f}") -> str:
    """``(1.2 better)``; more is better."""
    points = form.format(abs(ours - theirs))
    if float(points) == 0:
        return "(equal)"
    return f"({points} {'better' if ours > theirs else 'worse'})"


def reason_of(row: Row, metric: str) -> str:
    """Why a metric has no figure."""
    left_out = row.get("against_paper_set", row).get("left_out", {})
    return left_out.get(metric, "not run")


def best_of(rows: Any) -> dict[str, float]:
    """Best value of each metric over all rows that have it."""
    rows = list(rows)
    return {
        metric: (max if higher_is_better(metric) else min)(row[metric] for row in having)
        for metric in METRICS
        if (having := [row for row in rows if metric in row])
    }


def is_at(row: Row, metric: str, best: Row) -> bool:
    """Whether the row's figure, as shown, is the best of the column."""
    return metric in best and metric_text(row["metrics"], metric) == metric_text(best, metric)


# ---- On other data: this run's own table


def run_table(track: str, run: Row, marks: Marks) -> Table:
    """This run's rows."""
    names = ordered(run["rows"])
    shown = [
        metric
        for metric in METRICS
        if any(
            metric in run["rows"][name]["metrics"] or (track, name, metric) in marks
            for name in names
        )
    ]
    used = sorted({m for name in names for m in run["rows"][name].get("scored_metrics", [])})
    left = {k: v for name in names for k, v in run["rows"][name].get("left_out", {}).items()}
    why = "; ".join(f"{BENCHMARK_TITLES[name]}: {reason}" for name, reason in sorted(left.items()))
    scores = [run["rows"][name].get("printed") for name in names]
    rows = [
        [name, "–" if score is None else str(score)]
        + [
            Value(metric_text(run["rows"][name]["metrics"], m), marks.get((track, name, m), ""))
            for m in shown
        ]
        for name, score in zip(names, scores, strict=True)
    ]
    return Table(
        caption=f"This run, {track}",
        columns=["encoder", "SUPERB_s (this run)", *(BENCHMARK_TITLES[m] for m in shown)],
        rows=rows,
        note=f"Scored on {len(used)} of 7 metrics; left out: {why or 'none'}.",
    )


# ---- The paper's own rows


def published_table(track: str, rows: dict[str, Row]) -> Table:
    """The paper's rows of one track, with the score recomputed from them."""
    best = best_of(row["metrics"] for row in rows.values())
    return Table(
        caption=f"Published, {track}",
        columns=["model", "SUPERB_s printed", "recomputed", *BENCHMARK_TITLES.values()],
        rows=[
            [
                name,
                "–" if row["as_published"] is None else str(row["as_published"]),
                f"{row['superb_s']:.1f}",
                *(
                    Value(metric_text(row["metrics"], m), is_best=is_at(row, m, best))
                    for m in METRICS
                ),
            ]
            for name, row in rows.items()
        ],
        marked=frozenset(i for i, name in enumerate(rows) if name == COMPARED),
    )


def metric_text(metrics: dict[str, float], name: str) -> str:
    """One figure with one decimal; a dash where it was not run."""
    return f"{metrics[name]:.1f}" if name in metrics else "–"
