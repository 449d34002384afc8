"""Sections about the run itself: pre-training, data, labels, cost, how to do it again."""

from typing import Any

from espnet2.evaluation.report.blocks import (
    Block,
    Code,
    Details,
    Figure,
    Figures,
    Section,
    Table,
    Text,
    section,
)
from espnet2.evaluation.report.figures import Curve, bars, curves
from espnet2.evaluation.report.inputs import ReportInputs, Rows
from espnet2.evaluation.report.rows import percent_points
from espnet2.evaluation.report.svg import MUTED, SERIES

UNMASKED_NOTE = (
    "This configuration also puts a loss on unmasked frames. XEUS trains on masked frames only; "
    "the small run needs the extra signal to learn anything in minutes."
)


def pretraining_section(inputs: ReportInputs) -> Section:
    """Curves of loss and accuracy, and the last figures; nothing without a metrics.jsonl."""
    rows = inputs.pretraining
    if not rows:
        return section("pretraining", [])
    figures = pretraining_figures(rows)
    shown = [figures.pop(name) for name in ("loss", "accuracy") if name in figures]
    speed = [figures.pop("speed")] if "speed" in figures else []
    rest = list(figures.values())
    blocks: list[Block] = [Figures(figures=[*shown, last_figures(inputs), *speed])]
    if rest:
        summary = "Figures: learning rate, gradient norm"
        blocks.append(Details(summary=summary, blocks=[Figures(figures=rest)]))
    if has_unmasked_loss(inputs.ssl_config):
        blocks.append(Text(text=UNMASKED_NOTE, is_warning=True))
    return section("pretraining", blocks)


def has_unmasked_loss(config: dict[str, Any]) -> bool:
    """Whether visible frames count in the loss, in either spelling of ESPnet's loss keys."""
    losses = config.get("loss")
    several = [one.get("conf") for one in losses] if isinstance(losses, list) else []
    return any((conf or {}).get("unmasked_weight") for conf in [config.get("loss_conf"), *several])


def series(rows: Rows, split: str, name: str) -> list[tuple[float, float]]:
    """(step, value) of one figure."""
    return [(row["step"], row[name]) for row in rows if row.get("split") == split and name in row]


def last(rows: Rows, name: str, split: str = "valid") -> float | None:
    """The last value of a figure on ``split``, else on the training set."""
    for one in (split, "train"):
        points = series(rows, one, name)
        if points:
            return points[-1][1]
    return None


def pretraining_figures(rows: Rows) -> dict[str, Figure]:
    """Loss, accuracy against the majority class, gradient norm and speed, where recorded."""
    wanted = (
        ("loss", "Loss", "nats a frame", ("loss",), 1.0, False),
        ("accuracy", "Accuracy of cluster prediction", "percent of frames",
         ("masked_acc", "unmasked_acc"), 100.0, False),
        ("lr", "Learning rate", "learning rate", ("lr",), 1.0, False),
        ("gradient", "Gradient norm before clipping", "norm", ("grad_norm",), 1.0, True),
        ("speed", "Speed", "hours of audio an hour", ("x_real_time",), 1.0, False),
    )  # fmt: skip
    found = {}
    for name, title, unit, metrics, scale, log_y in wanted:
        lines = [
            Curve(
                label=f"{metric.replace('_acc', '')} {split}" if len(metrics) > 1 else split,
                points=[(step, scale * value) for step, value in series(rows, split, metric)],
                colour=SERIES[2 * i + (split == "valid")],
                dots=split == "valid",
            )
            for i, metric in enumerate(metrics)
            for split in ("train", "valid")
            if series(rows, split, metric)
        ]
        if not lines:
            continue
        if name == "accuracy" and (share := last(rows, "majority_share")) is not None:
            ends = [lines[0].points[0][0], lines[0].points[-1][0]]
            points = [(step, 100 * share) for step in ends]
            lines.append(Curve(label="majority class", points=points, colour=MUTED, dashed=True))
        alt = f"{title} over steps; last: " + ", ".join(
            f"{line.label} {line.points[-1][1]:.3g}" for line in lines
        )
        svg = curves(f"pretrain-{name}", alt, lines, unit, log_y)
        found[name] = Figure(svg=svg, title=title)
    return found


def last_figures(inputs: ReportInputs) -> Table:
    """The end of the run in numbers."""
    rows = inputs.pretraining
    accuracy, share = last(rows, "masked_acc"), last(rows, "majority_share")
    lines = [["steps", f"{max(row['step'] for row in rows):,}"]]
    if accuracy is not None:
        lines.append(["masked accuracy", percent_points(accuracy)])
    if share:
        lines.append(["majority class", percent_points(share)])
    if accuracy is not None and share:
        lines.append(["masked accuracy / majority class", f"{accuracy / share:.1f} x"])
    for name, title in (("unmasked_acc", "unmasked accuracy"),):
        if (value := last(rows, name)) is not None:
            lines.append([title, percent_points(value)])
    if (loss := last(rows, "loss")) is not None:
        lines.append(["loss", f"{loss:.3f}"])
    speeds = [value for _, value in series(rows, "train", "x_real_time")]
    if speeds:
        lines.append(["mean speed", f"{sum(speeds) / len(speeds):.0f} x real time"])
    if parameters := inputs.export.get("parameters"):
        lines.append(["parameters", f"{parameters:,}"])
    return Table(
        caption="At the last step (validation set)",
        columns=["figure", "value"],
        rows=lines,
        is_narrow=True,
    )


def data_section(inputs: ReportInputs) -> Section:
    """Hours by language and corpus; nothing without the hours.json of stage 3."""
    hours = inputs.hours
    if not hours:
        return section("data", [])
    train = hours["train"]
    values = {name: facts["hours"] for name, facts in by_hours(train["languages"])}
    alt = "Hours of pre-training audio by language: " + ", ".join(
        f"{name} {value:.2f}" for name, value in values.items()
    )
    svg = bars("hours", alt, values, "hours", SERIES[0])
    picture = Figure(svg=svg, title="Training audio by language (ISO 639-3)")
    blocks: list[Block] = [
        Figures(figures=[picture, hours_table(hours, "corpora", "corpus", inputs)]),
        Details(
            summary="Table: hours by language",
            blocks=[hours_table(hours, "languages", "language", inputs)],
        ),
    ]
    return section("data", blocks)


def by_hours(table: dict[str, dict[str, float]]) -> list[tuple[str, dict[str, float]]]:
    """Names and their facts, most hours first."""
    return sorted(table.items(), key=lambda pair: (-pair[1]["hours"], pair[0]))


def hours_table(hours: dict[str, Any], kind: str, title: str, inputs: ReportInputs) -> Table:
    """Training and validation hours of each name, and the total."""
    none = {"hours": 0.0, "utterances": 0}
    names = [name for name, _ in by_hours(hours["train"][kind])]
    names += sorted(hours["valid"][kind].keys() - set(names))
    rows = [[name, *hours_cells(hours, lambda s, n=name: s[kind].get(n, none))] for name in names]
    rows.append(["total", *hours_cells(hours, lambda s: s["total"])])
    columns = [title, "train h", "train utts", "valid h", "valid utts"]
    if kind == "corpora" and inputs.corpora:
        columns.append("kind")
        rows = [[*row, inputs.corpora.get(row[0], {}).get("kind", "")] for row in rows]
    return Table(
        caption=f"Hours by {title}", columns=columns, rows=rows, text_columns=frozenset({5})
    )


def hours_cells(hours: dict[str, Any], pick: Any) -> list[str]:
    """Hours and utterances of both sets."""
    cells = []
    for name in ("train", "valid"):
        facts = pick(hours[name])
        cells += [f"{facts['hours']:.2f}", f"{facts['utterances']:,}"]
    return cells


def labels_section(inputs: ReportInputs) -> Section:
    """The quality report of the pseudo-labels, as the label stage wrote it, where it did."""
    tables = []
    for name, facts in inputs.label_quality.items():
        flat = [[key.replace("_", " "), plain(value)] for key, value in flatten(facts)]
        table = Table(
            caption=f"Labels of {name}", columns=["measure", "value"], rows=flat, is_narrow=True
        )
        tables.append(table)
    return section("labels", [Figures(figures=tables)] if tables else [])


def flatten(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Single values of a nested mapping; lists and tables are left to the file."""
    found = []
    for key, value in facts.items():
        if isinstance(value, dict):
            is_table = any(isinstance(inner, dict) for inner in value.values())
            found += [] if is_table else flatten(value, f"{prefix}{key} ")
        elif not isinstance(value, list):
            found.append((f"{prefix}{key}", value))
    return found


def plain(value: Any) -> str:
    """A value as text; long digests shortened."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 and " " not in text else text


def reproduce_section(commands: str, recipe: str, provenance: dict[str, str]) -> Section:
    """Commands, versions, configuration."""
    rows = [[key, value] for key, value in provenance.items() if key != "command"]
    versions = Table(
        caption="Made with", columns=["what", "value"], rows=rows, text_columns=frozenset({1})
    )
    blocks: list[Block] = [
        Code(text=commands),
        versions,
        Details(summary="The whole configuration", blocks=[Code(text=recipe)]),
    ]
    return section("reproduce", blocks)
