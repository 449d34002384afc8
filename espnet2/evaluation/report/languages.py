"""Sections by language: CER of each, and which are confused."""

from typing import Any

from espnet2.evaluation.metrics import NO_LANGUAGE
from espnet2.evaluation.report.blocks import (
    Block,
    Details,
    Figure,
    Figures,
    Section,
    Table,
    section,
)
from espnet2.evaluation.report.figures import (
    Dot,
    confusion,
    dots,
)
from espnet2.evaluation.report.inputs import ReportInputs
from espnet2.evaluation.report.rows import (
    TASK_TITLES,
    asr_tasks_of,
    has_unseen_voices,
    kind_of,
    ordered,
    palette,
    tasks_of,
)

Cell = dict[str, Any]
MAX_CONFUSIONS = 15  # rows of the table under a matrix
MAX_MATRIX = 32  # languages a matrix shows; of more, those that are confused the most
OTHER = "other"  # in such a matrix: a language that it does not show
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
    figures, tables = [], []
    for task, track in asr_tasks_of(inputs.scores["rows"]):
        cells = chosen_cells(inputs, task, track)
        table = cer_table(cells, f"{TASK_TITLES[task]}, {track}")
        figures.append(cer_figure(cells, task, track))
        tables.append(Details(summary=f"Table: {table.caption}", blocks=[table]))
    blocks: list[Block] = [Figures(figures=figures), *tables] if figures else []
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
            *(cer_text(by_language(cell).get(language)) for cell in cells.values()),
            str(first[language]["num_utts"]),
            f"{first[language]['characters']:,}",
        ]
        for language in language_order(cells)
    ]
    columns = ["language", *(f"{name} CER" for name in cells), "test utts", "characters"]
    return Table(caption=f"{title}, CER by language", columns=columns, rows=rows)


def cer_text(facts: dict[str, Any] | None) -> str:
    """A language's CER with one decimal; a dash where a cell was not tested on it."""
    return "–" if facts is None else f"{facts['cer']:.1f}"


def confusion_section(inputs: ReportInputs) -> Section:
    """What the pretrained encoders' probes mistake for what; one matrix a task, the first's."""
    figures, folded = [], []
    rows = inputs.scores["rows"]
    for task, track in tasks_of(rows):
        if task in ("multi", "mono"):
            continue
        cells = chosen_cells(inputs, task, track)
        names = [name for name in cells if kind_of(name) == "pretrained"] or list(cells)[:1]
        for name in names:
            tables = cells[name]["test"].get("lid_confusion", {})
            group = next((g for g in ("lid_unseen_voice", "lid") if g in tables), None)
            if group is None:
                continue
            title = f"{TASK_TITLES[task]}, {track}, {name}"
            if has_unseen_voices(rows):
                kind = "unseen voices" if group == "lid_unseen_voice" else "speaker-confounded"
                title += f", {kind}"
            figure, table = confusion_blocks(tables[group], f"{task}-{track}-{name}", title)
            figures += [figure] if name == names[0] else []
            folded += table
    blocks: list[Block] = [Figures(figures=figures), *folded] if figures else []
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
    shown = most_confused(table, [(spoken, guess) for _, spoken, guess, _ in wrong])
    svg = confusion(f"confusion-{name}", alt, shown, extra=NO_LANGUAGE)
    note = (
        f"{right} of {total} right. The stronger the colour, the larger the share of "
        f"the row; {NO_LANGUAGE}: the probe names no language."
    )
    if len(shown) < len(table):
        note += (
            f" Of {len(table)} languages the {len(shown)} in the most frequent confusions; "
            f"{OTHER}: any language that is not shown."
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
    figure = Figure(svg=svg, title=title, note=note, is_wide=len(shown) > MAX_NARROW_MATRIX)
    return figure, [Details(summary=f"Table: {title}", blocks=[top])] if rows else []


def most_confused(
    table: dict[str, dict[str, int]], wrong: list[tuple[str, str]]
) -> dict[str, dict[str, int]]:
    """The whole matrix where it can be read, else the languages of the most frequent confusions.

    wrong: (spoken, named) off the diagonal, the most frequent first.
    """
    if len(table) <= MAX_MATRIX:
        return table
    kept: list[str] = []
    for pair in wrong:
        kept += [name for name in pair if name in table and name not in kept]
        if len(kept) >= MAX_MATRIX:
            break
    found: dict[str, dict[str, int]] = {}
    for spoken in sorted(kept or list(table)[:MAX_MATRIX]):
        row = found.setdefault(spoken, {})
        for guess, count in table[spoken].items():
            name = guess if guess in kept or guess == NO_LANGUAGE else OTHER
            row[name] = row.get(name, 0) + count
    return found
