"""Section about the metrics of the ML-SUPERB 2.0 challenge, for cells that were scored on them."""

from typing import Any

from espnet2.evaluation.report.blocks import Block, Section, Table, Text, Value, section
from espnet2.evaluation.report.rows import (
    TASK_TITLES,
    best_mean,
    figure,
    mean_of,
    of_task,
    tasks_of,
)

TITLES = {
    "superb2_cer": "CER",
    "worst15_cer": "CER, worst 15",
    "cer_language_sd": "CER, sd of languages",
    "superb2_lid": "LID",
    "dialect_cer": "CER, dialects",
    "dialect_lid": "LID, dialects",
}
NOTE = (
    "As the challenge counts (arXiv 2509.07139): mean of the utterances of a language, then over "
    "languages, in percent. Worst 15: mean CER of the 15 languages of highest CER, or of all "
    "where there are fewer. LID: the hypothesis begins with the language's tag."
)


def superb2_section(rows: list[dict[str, Any]]) -> Section:
    """A table for each task and track; nothing where no row has such a metric."""
    tables: list[Block] = [
        table for task, track in tasks_of(rows) if (table := superb2_table(rows, task, track))
    ]
    said = sorted({row["normalisation"] for row in rows if row.get("normalisation")})
    note = f"{NOTE} Text: {'; '.join(said)}." if said else NOTE
    return section("superb2", [*tables, Text(text=note)] if tables else [])


def superb2_table(rows: list[dict[str, Any]], task: str, track: str) -> Table | None:
    """Encoders as rows, the challenge's metrics as columns; dialects where they were tested."""
    mine = of_task(rows, task, track)
    shown = [name for name in TITLES if any(name in row["test"] for row in mine)]
    if not shown:
        return None
    best = {name: best_mean(mine, name) for name in shown}
    return Table(
        caption=f"{TASK_TITLES[task]}, {track}",
        columns=["encoder", *(TITLES[name] for name in shown)],
        rows=[[row["encoder"], *(value(row, name, best[name]) for name in shown)] for row in mine],
    )


def value(row: dict[str, Any], metric: str, best: float | None) -> Value:
    """One figure with its interval or spread."""
    mean = mean_of(row, metric)
    return figure(row["test"].get(metric), is_best=mean is not None and mean == best)
