"""Section about the insides of the probes: layer weights and learning curves."""

import statistics
from collections.abc import Sequence

from espnet2.evaluation.report.blocks import (
    Block,
    Details,
    Figure,
    Figures,
    Section,
    Table,
    section,
)
from espnet2.evaluation.report.figures import SMALL_PX, Curve, curves, layer_shares
from espnet2.evaluation.report.inputs import ReportInputs, cell_name
from espnet2.evaluation.report.languages import Cell, chosen_cells
from espnet2.evaluation.report.mono import mono_cells
from espnet2.evaluation.report.rows import TASK_TITLES, ordered, palette, tasks_of

Shares = dict[tuple[str, str], dict[str, list[float]]]
"""(task, track) -> encoder -> share of each layer."""


def probe_section(inputs: ReportInputs) -> Section:
    """Layer weights and learning curves of the probes; those of one language folded away."""
    layers, learning, folded, shares = [], [], [], {}
    for task, track in tasks_of(inputs.scores["rows"]):
        if task == "mono":
            found = mono_cells(inputs, track)
            shares[task, track] = weights = mean_weights(list(found.values()))
            layers += layer_figures(weights, task, track, "Mean of the corpora. ")
            small = [
                figure
                for (language, corpus), cells in found.items()
                for figure in learning_figures(inputs, cells, f"{language} {corpus}, {track}")
            ]
            if small:
                summary = f"Figures: learning curves of monolingual ASR, {track}"
                blocks: list[Block] = [Figures(figures=small, are_small=True)]
                folded.append(Details(summary=summary, blocks=blocks))
            continue
        cells = chosen_cells(inputs, task, track)
        weights = {name: cell.get("layer_weights") or [] for name, cell in cells.items()}
        shares[task, track] = weights
        layers += layer_figures(weights, task, track)
        learning += learning_figures(inputs, cells, f"{TASK_TITLES[task]}, {track}")
    shown: list[Block] = [Figures(figures=layers, are_small=True)] if layers else []
    if layers:
        table = layer_table(shares)
        shown.append(Details(summary=f"Table: {table.caption}", blocks=[table]))
    shown += [Figures(figures=learning, are_small=True)] if learning else []
    return section("probe", [*shown, *folded])


def layer_table(shares: Shares) -> Table:
    """The figures behind the plots, in percent; one column an encoder, task and track."""
    columns = {
        f"{name} {task} {track}": weights
        for (task, track), by_encoder in shares.items()
        for name, weights in by_encoder.items()
        if len(weights) > 1
    }
    longest = max(map(len, columns.values()))
    rows = [
        [
            str(layer),
            *(
                f"{100 * weights[layer]:.1f}" if layer < len(weights) else "–"
                for weights in columns.values()
            ),
        ]
        for layer in range(longest)
    ]
    return Table(caption="Layer weights, in percent", columns=["layer", *columns], rows=rows)


def mean_weights(configurations: Sequence[dict[str, Cell]]) -> dict[str, list[float]]:
    """encoder -> mean share of each layer over the configurations it was run on."""
    collected: dict[str, list[list[float]]] = {}
    for cells in configurations:
        for name, cell in cells.items():
            if cell.get("layer_weights"):
                collected.setdefault(name, []).append(cell["layer_weights"])
    return {
        name: [statistics.fmean(shares) for shares in zip(*collected[name], strict=True)]
        for name in ordered(collected)
    }


def layer_figures(
    weights: dict[str, list[float]], task: str, track: str, note: str = ""
) -> list[Figure]:
    """Share of each layer, encoders with more than one layer."""
    colours = palette(weights)
    weights = {name: shares for name, shares in weights.items() if len(shares) > 1}
    if not weights:
        return []
    peaks = {name: max(range(len(w)), key=w.__getitem__) for name, w in weights.items()}
    alt = f"Layer weights, {TASK_TITLES[task]} {track}: " + ", ".join(
        f"{name} weighs layer {peak} most" for name, peak in peaks.items()
    )
    svg = layer_shares(f"layers-{task}-{track}", alt, weights, colours)
    title = f"Layer weights, {TASK_TITLES[task]}, {track}"
    note += "Layer 0 is the input of the first block. Dashed: equal shares, where a probe starts."
    return [Figure(svg=svg, title=title, note=note)]


def learning_figures(inputs: ReportInputs, cells: dict[str, Cell], title: str) -> list[Figure]:
    """Development loss over steps, one line an encoder."""
    colour, lines = palette(cells), []
    for name, cell in cells.items():
        rows = inputs.cell_curves.get(cell_name(cell), [])
        split = "valid" if any(row.get("split") == "valid" for row in rows) else "train"
        mine = [row for row in rows if row.get("split") == split and "loss" in row]
        points = [(row["step"], row["loss"]) for row in mine]
        if points:
            lines.append(Curve(label=name, points=points, colour=colour[name]))
    if not lines:
        return []
    ends = ", ".join(f"{line.label} {line.points[-1][1]:.2f}" for line in lines)
    alt = f"Learning curves, {title}; last loss: {ends}"
    name = "learning-" + "".join(c if c.isalnum() else "-" for c in title.lower())
    svg = curves(name, alt, lines, "nats an utterance", True, SMALL_PX)
    note = "CTC loss, on dev where it was measured."
    return [Figure(svg=svg, title=f"Learning curves, {title}", note=note)]
