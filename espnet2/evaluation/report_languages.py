"""Sections by language: CER, confusions, layer weights, learning curves of the probe."""

from typing import Any

from espnet2.evaluation.metrics import NO_LANGUAGE
from espnet2.evaluation.report_blocks import (
    Block,
    Details,
    Figure,
    Figures,
    Section,
    Table,
    Text,
    section,
)
from espnet2.evaluation.report_figures import (
    SMALL_PX,
    Curve,
    Dot,
    confusion,
    curves,
    dots,
    layer_shares,
)
from espnet2.evaluation.report_inputs import ReportInputs, cell_name
from espnet2.evaluation.report_rows import (
    TASK_TITLES,
    has_unseen_voices,
    kind_of,
    ordered,
    palette,
    tasks_of,
)

Cell = dict[str, Any]
MAX_CONFUSIONS = 15  # rows of the table under a matrix
MAX_NARROW_MATRIX = 16  # languages that can be read in half the page's width


def chosen_cells(inputs: ReportInputs, task: str, track: str) -> dict[str, Cell]:
    """encoder -> its cell at the chosen learning rate, first seed; encoders in their order."""
    found = {}
    for row in inputs.scores["rows"]:
        if (row["task"], row["track"]) != (task, track):
            continue
        wanted = (row["encoder"], task, track, row["lr"], row["seeds"][0])
        found[row["encoder"]] = next(
            cell
            for cell in inputs.scores["cells"]
            if tuple(cell[k] for k in ("encoder", "task", "track", "lr", "seed")) == wanted
        )
    return {name: found[name] for name in ordered(found)}


def languages_section(inputs: ReportInputs) -> Section:
    """CER of every language, every encoder."""
    blocks: list[Block] = []
    figures, tables = [], []
    for task, track in tasks_of(inputs.scores["rows"]):
        cells = chosen_cells(inputs, task, track)
        if task == "lid":
            continue
        table = cer_table(cells, f"{TASK_TITLES[task]}, {track}")
        figures.append(cer_figure(cells, task, track))
        tables.append(Details(summary=f"Table: {table.caption}", blocks=[table]))
    blocks += (
        [Figures(figures=figures), *tables] if figures else [Text(text="No ASR cell was run.")]
    )
    return section("languages", blocks)


def by_language(cell: Cell) -> dict[str, dict[str, Any]]:
    """The test table of one cell, languages without characters left out."""
    table = cell["test"]["cer_by_language"]
    return {language: facts for language, facts in table.items() if facts["cer"] is not None}


def language_order(cells: dict[str, Cell]) -> list[str]:
    """Languages from the first encoder's easiest to its hardest, few-shot ones at the end."""
    first = by_language(next(iter(cells.values())))
    return sorted(first, key=lambda name: (first[name]["is_few_shot"], first[name]["cer"]))


def cer_figure(cells: dict[str, Cell], task: str, track: str) -> Figure:
    """One row a language, one dot an encoder."""
    points = [
        Dot(
            row=language + (" *" if by_language(cell)[language]["is_few_shot"] else ""),
            series=encoder,
            value=by_language(cell)[language]["cer"],
        )
        for language in language_order(cells)
        for encoder, cell in cells.items()
        if language in by_language(cell)
    ]
    alt = f"CER by language, {TASK_TITLES[task]} {track}; the numbers are in the table below"
    svg = dots(f"cer-{task}-{track}", alt, points, "CER, percent", palette(cells))
    title = f"{TASK_TITLES[task]}, {track}"
    return Figure(svg=svg, title=title, note="Test CER. * few-shot language.")


def cer_table(cells: dict[str, Cell], title: str) -> Table:
    """The figures behind the plot."""
    first = by_language(next(iter(cells.values())))
    rows = [
        [
            language + (" (few-shot)" if first[language]["is_few_shot"] else ""),
            *(f"{by_language(c)[language]['cer']:.1f}" for c in cells.values()),
            str(first[language]["num_utts"]),
            f"{first[language]['characters']:,}",
        ]
        for language in language_order(cells)
    ]
    columns = ["language", *(f"{name} CER" for name in cells), "test utts", "characters"]
    return Table(caption=f"{title}, CER by language", columns=columns, rows=rows)


def confusion_section(inputs: ReportInputs) -> Section:
    """What the pretrained encoder's probe mistakes for what."""
    figures, folded = [], []
    for task, track in tasks_of(inputs.scores["rows"]):
        cells = chosen_cells(inputs, task, track)
        names = [name for name in cells if kind_of(name) == "pretrained"] or list(cells)[:1]
        if task == "multi":
            continue
        tables = cells[names[0]]["test"]["lid_confusion"]
        group = next((g for g in ("lid_unseen_voice", "lid") if g in tables), None)
        if group:
            title = f"{TASK_TITLES[task]}, {track}, {names[0]}"
            if has_unseen_voices(inputs.scores["rows"]):
                title += (
                    ", unseen voices" if group == "lid_unseen_voice" else ", speaker-confounded"
                )
            figure, table = confusion_blocks(tables[group], f"{task}-{track}", title)
            figures.append(figure)
            folded += table
    blocks: list[Block] = [Figures(figures=figures), *folded]
    if not figures:
        blocks = [Text(text="No language identification cell was run.")]
    return section("confusion", blocks)


def confusion_blocks(
    table: dict[str, dict[str, int]], name: str, title: str
) -> tuple[Figure, list[Block]]:
    """The matrix, and its largest entries off the diagonal as a table."""
    wrong = [
        (count / sum(row.values()), language, guess, count)
        for language, row in table.items()
        for guess, count in row.items()
        if guess != language
    ]
    wrong.sort(key=lambda one: (-one[0], one[1], one[2]))
    right = sum(row.get(language, 0) for language, row in table.items())
    total = sum(sum(row.values()) for row in table.values())
    alt = f"Confusion matrix, {title}: {right} of {total} utterances right"
    if wrong:
        alt += f"; most frequent error: {wrong[0][1]} taken for {wrong[0][2]}"
    svg = confusion(f"confusion-{name}", alt, table, extra=NO_LANGUAGE)
    note = (
        f"{right} of {total} on the diagonal. The stronger the colour, the larger the share of "
        f"the row; {NO_LANGUAGE}: the probe names no language."
    )
    rows = [
        [language, guess, f"{100 * share:.0f} %", str(count)]
        for share, language, guess, count in wrong[:MAX_CONFUSIONS]
    ]
    top = Table(
        caption=f"Most frequent confusions, {title}",
        columns=["spoken", "named", "share of the language", "utterances"],
        rows=rows,
        text_columns=frozenset({1}),
    )
    figure = Figure(svg=svg, title=title, note=note, is_wide=len(table) > MAX_NARROW_MATRIX)
    return figure, [Details(summary=f"Table: {title}", blocks=[top])] if rows else []


def probe_section(inputs: ReportInputs) -> Section:
    """Layer weights and learning curves of the probes."""
    layers, learning = [], []
    for task, track in tasks_of(inputs.scores["rows"]):
        cells = chosen_cells(inputs, task, track)
        layers += layer_figures(cells, task, track)
        learning += learning_figures(inputs, cells, task, track)
    blocks: list[Block] = [Figures(figures=layers, are_small=True)] if layers else []
    blocks += [Figures(figures=learning, are_small=True)] if learning else []
    if not blocks:
        blocks = [Text(text="The cells left neither layer weights nor learning curves.")]
    return section("probe", blocks)


def layer_figures(cells: dict[str, Cell], task: str, track: str) -> list[Figure]:
    """Share of each layer, encoders with more than one layer."""
    weights = {
        name: cell["layer_weights"]
        for name, cell in cells.items()
        if len(cell.get("layer_weights") or []) > 1
    }
    if not weights:
        return []
    peaks = {name: max(range(len(w)), key=w.__getitem__) for name, w in weights.items()}
    alt = f"Layer weights, {TASK_TITLES[task]} {track}: " + ", ".join(
        f"{name} weighs layer {peak} most" for name, peak in peaks.items()
    )
    svg = layer_shares(f"layers-{task}-{track}", alt, weights, palette(cells))
    title = f"Layer weights, {TASK_TITLES[task]}, {track}"
    note = "Layer 0 is the input of the first block. Dashed: equal shares, where a probe starts."
    return [Figure(svg=svg, title=title, note=note)]


def learning_figures(
    inputs: ReportInputs, cells: dict[str, Cell], task: str, track: str
) -> list[Figure]:
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
    alt = f"Learning curves, {TASK_TITLES[task]} {track}; last loss: {ends}"
    svg = curves(f"learning-{task}-{track}", alt, lines, "nats an utterance", True, SMALL_PX)
    title = f"Learning curves, {TASK_TITLES[task]}, {track}"
    return [Figure(svg=svg, title=title, note="CTC loss, on dev where it was measured.")]
