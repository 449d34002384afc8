"""Section about SUPERB_s: this run's own score, and the paper's table."""

from typing import Any

from espnet2.evaluation.golden import METRICS
from espnet2.evaluation.report_blocks import Block, Section, Table, Text, Value, section
from espnet2.evaluation.report_rows import ordered
from espnet2.evaluation.superb import higher_is_better

BENCHMARK_TITLES = {
    "mono_cer": "mono CER",
    "multi_cer": "multi CER",
    "multi_few_shot": "multi few-shot",
    "lid_lid": "LID",
    "joint_lid": "joint LID",
    "joint_cer": "joint CER",
    "joint_few_shot": "joint few-shot",
}


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
            text="Published rows: XEUS paper (arXiv 2407.00837); mHuBERT-147 (arXiv 2406.06371) "
            "and WavLabLM-MS are not in its reference set, to which SUPERB_s is relative: "
            f"{names}. The paper prints whole numbers, cut and not rounded, from unrounded "
            "figures; recomputed from the table's one decimal, a score can come out up to 1.1 away."
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
