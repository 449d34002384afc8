"""Tables of further tests: each metric in noise and rooms, or on other data, beside the test's."""

from typing import Any

from espnet2.evaluation.report.blocks import Table, Value
from espnet2.evaluation.report.rows import (
    TASK_TITLES,
    best_mean,
    figure,
    has_unseen_voices,
    metric_title,
    metrics_of,
    of_task,
)

Rows = list[dict[str, Any]]


def corrupted_tables(
    rows: Rows, task: str, track: str, conditions: dict[str, dict[str, Any]]
) -> list[Table]:
    """A table for each further test of a task; nothing where there is none."""
    mine = of_task(rows, task, track)
    names = list(mine[0].get("corrupted", {}))
    metrics = metrics_of(mine, has_unseen_voices(rows))
    return [
        corrupted_table(mine, name, metrics, conditions.get(f"{track}/{name}", {}))
        for name in names
    ]


def corrupted_table(mine: Rows, name: str, metrics: list[str], facts: dict[str, Any]) -> Table:
    """Encoders as rows; of each metric the test's figure, then that of the further test.

    facts: what it is heard in; empty of a test that is not made of the other.
    """
    heard = [{**row, "test": row["corrupted"].get(name, {})} for row in mine]
    best = {metric: {best_mean(heard, metric)} - {None} for metric in metrics}
    columns: list[Value | str] = ["encoder"]
    for metric in metrics:
        title = metric_title(metric)
        one, other = ("clean", condition(facts)) if facts else ("test", name)
        columns += [Value(f"{title.main}, {one}", title.sub), f"{title.main}, {other}"]
    heard_in = f": {details(facts)}" if facts else ""
    return Table(
        caption=f"{TASK_TITLES[mine[0]['task']]}, {mine[0]['track']}, {name}{heard_in}",
        columns=columns,
        rows=[
            [row["encoder"], *(value for m in metrics for value in pair(row, noisy, m, best))]
            for row, noisy in zip(mine, heard, strict=True)
        ],
    )


def pair(
    row: dict[str, Any], noisy: dict[str, Any], metric: str, best: dict[str, set[float]]
) -> tuple[Value, Value]:
    """Clean and corrupted figure of one encoder."""
    value = noisy["test"].get(metric)
    is_best = value is not None and value["mean"] in best[metric]
    return figure(row["test"].get(metric)), figure(value, is_best=is_best)


def condition(facts: dict[str, Any]) -> str:
    """noisy, reverberant, or both."""
    words = {"noisy": facts.get("snr_db"), "reverberant": facts.get("t60_s")}
    return " and ".join(word for word, there in words.items() if there) or "corrupted"


def details(facts: dict[str, Any]) -> str:
    """How loud the noise and how long the reverberation is, as measured on the set."""
    snr, t60 = facts.get("snr_db"), facts.get("t60_s")
    parts = []
    if snr:
        parts.append("SNR {min:.0f} to {max:.0f} dB, mean {mean:.1f}".format(**snr))
    if t60:
        parts.append("T60 {min:.2f} to {max:.2f} s, mean {mean:.2f}".format(**t60))
    return "; ".join(parts) or "as clean as before"
