"""CER of each language against the hours of it that the encoder learned from."""

import math
from typing import Any

from scipy.stats import spearmanr

from espnet2.evaluation.report.blocks import (
    Block,
    Details,
    Figure,
    Figures,
    Section,
    Table,
    section,
)
from espnet2.evaluation.report.inputs import ReportInputs
from espnet2.evaluation.report.languages import Cell, by_language, chosen_cells
from espnet2.evaluation.report.rows import TASK_TITLES, asr_tasks_of, palette
from espnet2.evaluation.report.scatter import Spot, scatter

FEWEST = 5  # languages, below which a rank correlation says nothing


def hours_section(inputs: ReportInputs) -> Section:
    """One plot a task; nothing where no encoder's hours are known."""
    figures, tables = [], []
    for task, track in asr_tasks_of(inputs.scores["rows"]):
        cells = chosen_cells(inputs, task, track)
        known = {name: cell for name, cell in cells.items() if inputs.encoder_hours.get(name)}
        if not known:
            continue
        title = f"{TASK_TITLES[task]}, {track}"
        figures.append(hours_figure(known, inputs, title, f"{task}-{track}", palette(cells)))
        table = hours_table(known, inputs, title)
        tables.append(Details(summary=f"Table: {table.caption}", blocks=[table]))
    blocks: list[Block] = [Figures(figures=figures), *tables] if figures else []
    return section("hours", blocks)


def hours_figure(
    cells: dict[str, Cell], inputs: ReportInputs, title: str, name: str, colours: dict[str, str]
) -> Figure:
    """A dot a language and encoder."""
    spots = [
        Spot(
            name=language, series=encoder, x=inputs.encoder_hours[encoder].get(language, 0.0),
            y=facts["cer"], is_hollow=facts["is_few_shot"],
        )
        for encoder, cell in cells.items()
        for language, facts in by_language(cell).items()
    ]  # fmt: skip
    said = "; ".join(
        f"{encoder}: {correlation([s for s in spots if s.series == encoder])}" for encoder in cells
    )
    alt = f"CER by language against hours of pre-training, {title}; {said}"
    svg = scatter(f"hours-{name}", alt, spots, ("hours of pre-training", "CER, percent"), colours)
    note = f"Hollow: few-shot language. {said}."
    return Figure(svg=svg, title=title, note=note)


def correlation(spots: list[Spot]) -> str:
    """Rank correlation of hours and CER over the normal languages, in words."""
    mine = [spot for spot in spots if not spot.is_hollow]
    if len(mine) < FEWEST or len({s.x for s in mine}) < 2 or len({s.y for s in mine}) < 2:
        return "too few languages for a correlation"
    rho = float(spearmanr([spot.x for spot in mine], [spot.y for spot in mine]).statistic)
    assert math.isfinite(rho)
    return f"Spearman {rho:+.2f} over {len(mine)} normal languages"


def hours_table(cells: dict[str, Cell], inputs: ReportInputs, title: str) -> Table:
    """The figures behind the plot, most hours first."""
    first = next(iter(cells))
    hours = inputs.encoder_hours[first]
    tables: dict[str, dict[str, Any]] = {name: by_language(cell) for name, cell in cells.items()}
    languages = sorted(tables[first], key=lambda name: (-hours.get(name, 0.0), name))
    columns = ["language"]
    for name in cells:
        columns += [f"{name} hours", f"{name} CER"]
    rows = [
        [
            language + (" (few-shot)" if tables[first][language]["is_few_shot"] else ""),
            *(
                text
                for name in cells
                for text in (
                    f"{inputs.encoder_hours[name].get(language, 0.0):,.2f}",
                    f"{tables[name][language]['cer']:.1f}",
                )
            ),
        ]
        for language in languages
    ]
    return Table(caption=f"{title}, CER and hours", columns=columns, rows=rows)
