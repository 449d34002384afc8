"""Section about monolingual ASR: one probe a language and corpus, and what it was scored on."""

from typing import Any

from espnet2.asr.config import mono_parts, mono_task, task_kind
from espnet2.evaluation.report.blocks import (
    Block,
    Details,
    Section,
    Table,
    Text,
    Value,
    section,
)
from espnet2.evaluation.report.inputs import ReportInputs
from espnet2.evaluation.report.languages import Cell
from espnet2.evaluation.report.rows import (
    TASK_TITLES,
    best_mean,
    figure,
    mean_of,
    of_task,
    ordered,
    tasks_of,
)
from espnet2.train.cells import MONOLINGUAL

PHONE_LANGUAGES = ("cmn", "jpn")
"""The benchmark scores these on phones."""

NOTE = (
    "A probe is trained on one corpus of a language and tested on every corpus of it. Error rates "
    "in percent, of characters or, where the table says so, of phones."
)
CHARACTERS_NOTE = (
    "{} scored on characters: the benchmark takes phones there, so the mean is not the paper's "
    "figure. pip install 'xeus[phones]' and stages 10 to 13 again give phones."
)
Row = dict[str, Any]


def mono_section(rows: list[Row]) -> Section:
    """A table a track; nothing where no monolingual cell was scored."""
    blocks: list[Block] = []
    for track in mono_tracks(rows):
        mine = of_task(rows, "mono", track)
        chosen = rates_table(mine, track)
        blocks += [
            mono_table(mine, track),
            Details(summary=f"Table: {chosen.caption}", blocks=[chosen]),
        ]
    if blocks:
        blocks.append(Text(text=NOTE))
    marked = {language for *_, languages in on_characters(rows) for language in languages}
    if marked:
        words = " and ".join(sorted(marked)) + (" is" if len(marked) == 1 else " are")
        blocks.append(Text(text=CHARACTERS_NOTE.format(words), is_warning=True))
    return section("mono", blocks)


def mono_tracks(rows: list[Row]) -> list[str]:
    """The tracks with a monolingual row."""
    return [track for task, track in tasks_of(rows) if task == "mono"]


def on_characters(rows: list[Row]) -> list[tuple[str, str, list[str]]]:
    """(track, encoder, languages scored on characters where the benchmark scores phones)."""
    found = []
    for row in rows:
        if row["task"] == "mono":
            languages = set(row["units"].get("characters", [])) & set(PHONE_LANGUAGES)
            if languages:
                found.append((row["track"], row["encoder"], sorted(languages)))
    return found


def mono_marks(rows: list[Row]) -> dict[tuple[str, str], str]:
    """(track, encoder) -> how its monolingual figure differs from the benchmark's, if it does."""
    marks = {
        (track, encoder): f"({', '.join(languages)} on characters)"
        for track, encoder, languages in on_characters(rows)
    }
    benchmark = {mono_task(*name.split("/")) for name in MONOLINGUAL}
    for row in rows:
        if row["task"] == "mono" and {*row["configurations"], *row["missing"]} != benchmark:
            key = row["track"], row["encoder"]
            marks[key] = f"{marks.get(key, '')} (other corpora than the benchmark)".strip()
    return marks


def mono_cells(inputs: ReportInputs, track: str) -> dict[tuple[str, str], dict[str, Cell]]:
    """(language, corpus) -> encoder -> its cell at the chosen learning rate, first seed."""
    rows = {row["encoder"]: row for row in of_task(inputs.scores["rows"], "mono", track)}
    found: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in inputs.scores["cells"]:
        if cell["track"] != track or task_kind(cell["task"]) != "mono":
            continue
        one = rows[cell["encoder"]]["configurations"][cell["task"]]
        if (cell["lr"], cell["seed"]) == (one["lr"], one["seeds"][0]):
            found.setdefault(mono_parts(cell["task"]), {})[cell["encoder"]] = cell
    return {key: {name: found[key][name] for name in ordered(found[key])} for key in sorted(found)}


def mono_table(mine: list[Row], track: str) -> Table:
    """Configurations as rows, encoders as columns, the mean at the end."""
    lines = [
        [Value(" ".join(mono_parts(task)), units_note(mine, task)), *rates_of(mine, task)]
        for task in configurations_of(mine)
    ]
    best = best_mean(mine, "mono_cer")
    mean = Value("mean", "of corpora, then of languages")
    lines.append([mean, *(mean_value(row, best) for row in mine)])
    return Table(
        caption=f"{TASK_TITLES['mono']}, {track}, test error rate",
        columns=["trained on", *(row["encoder"] for row in mine)],
        rows=lines,
        marked=frozenset({len(lines) - 1}),
    )


def rates_of(mine: list[Row], task: str) -> list[Value]:
    """Each encoder's error rate in one configuration."""
    having = [{"test": row["configurations"].get(task, {}).get("test", {})} for row in mine]
    best = best_mean(having, "cer")
    return [
        figure(one["test"].get("cer"), is_best=best is not None and mean_of(one, "cer") == best)
        for one in having
    ]


def configurations_of(mine: list[Row]) -> list[str]:
    """Every configuration of the recipe, those without any score too."""
    tasks = {task for row in mine for task in (*row["configurations"], *row["missing"])}
    return sorted(tasks, key=mono_parts)


def units_note(mine: list[Row], task: str) -> str:
    """phones, or that characters stand in for them; nothing where characters are the rule."""
    scored = [row["configurations"][task] for row in mine if task in row["configurations"]]
    units = sorted({one["units"] for one in scored})
    if mono_parts(task)[0] in PHONE_LANGUAGES and units and units != ["phones"]:
        return f"({' and '.join(units)}, not phones)"
    return "(phones)" if units == ["phones"] else ""


def mean_value(row: Row, best: float | None) -> Value:
    """The row's mean; where configurations have no score, that it is not the benchmark's."""
    is_best = best is not None and mean_of(row, "mono_cer") == best
    value = figure(row["test"]["mono_cer"], is_best=is_best and not row["missing"])
    if not row["missing"]:
        return value
    of = len(row["missing"]) + len(row["configurations"])
    return Value(f"{value.main} *", f"({len(row['configurations'])} of {of} corpora)")


def rates_table(mine: list[Row], track: str) -> Table:
    """The learning rate each configuration got."""
    return Table(
        caption=f"{TASK_TITLES['mono']}, {track}: learning rate by {mine[0]['lr_chosen_on']}",
        columns=["trained on", *(row["encoder"] for row in mine)],
        rows=[
            [" ".join(mono_parts(task)), *(row["lr"].get(task, "–") for row in mine)]
            for task in configurations_of(mine)
        ],
    )
