"""The report's building blocks. One list of sections becomes both RESULTS.md and report.html."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from espnet2.evaluation.report.svg import escape


@dataclass(frozen=True, kw_only=True)
class Text:
    """A paragraph."""

    text: str
    is_warning: bool = False


@dataclass(frozen=True)
class Value:
    """A table cell: the figure, what qualifies it, whether it is the best of its column."""

    main: str
    sub: str = ""
    is_best: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of figures under a caption."""

    caption: str
    columns: Sequence[Value | str]
    rows: Sequence[Sequence[Value | str]]
    """The first cell names the row; the others are figures unless ``text_columns`` says not."""

    text_columns: frozenset[int] = frozenset()
    note: str = ""
    marked: frozenset[int] = frozenset()
    """Rows to set apart."""

    is_narrow: bool = False
    """Names and values only: not stretched over the page."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One picture with its title."""

    svg: str
    """Drawn by ``figures.py``; says in its own words what it shows."""

    title: str
    note: str = ""
    is_wide: bool = False
    """Needs the whole width, and scrolls sideways on a phone."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Figures, and small tables, side by side where there is room."""

    figures: Sequence[Figure | Table]
    are_small: bool = False
    """Three in a row instead of two."""


@dataclass(frozen=True, kw_only=True)
class Code:
    """Text set as it stands."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Details:
    """Folded away until asked for."""

    summary: str
    blocks: Sequence["Block"]


Block = Text | Table | Figures | Code | Details


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report with a heading."""

    id: str
    title: str
    short: str
    """Its name in the page's navigation."""

    blocks: list[Block] = field(default_factory=list)
    """None: there is nothing to show, and the page leaves the section out."""


HEADINGS = {
    "results": ("Results", "Results"),
    "gains": ("What pre-training bought", "Gains"),
    "superb": ("SUPERB_s and the paper's rows", "SUPERB"),
    "superb2": ("ML-SUPERB 2.0's metrics", "2.0"),
    "failed": ("Cells without a score", "Failed"),
    "mono": ("Monolingual ASR by corpus", "Monolingual"),
    "languages": ("Error rate by language", "Languages"),
    "hours": ("Error rate and hours of pre-training", "Hours"),
    "confusion": ("Which languages are confused", "Confusions"),
    "probe": ("Inside the probe", "Probe"),
    "pretraining": ("Pre-training", "Pre-training"),
    "data": ("Pre-training audio", "Audio"),
    "labels": ("Pseudo-labels", "Labels"),
    "cost": ("Cost", "Cost"),
    "reproduce": ("Do it again", "Do it again"),
}
"""Section id -> heading, and its name in the page's navigation."""


def section(name: str, blocks: list[Block]) -> Section:
    """A section with its heading from the table."""
    title, short = HEADINGS[name]
    return Section(id=name, title=title, short=short, blocks=blocks)


# ---- HTML


def section_html(part: Section) -> str:
    """One ``<section>`` with its heading."""
    body = "\n".join(block_html(block) for block in part.blocks)
    label = f"{part.id}-title"
    heading = f'<h2 id="{label}">{escape(part.title)}</h2>'
    return f'<section id="{part.id}" aria-labelledby="{label}">\n{heading}\n{body}\n</section>'


def block_html(block: Block) -> str:
    """One block as HTML."""
    if isinstance(block, Text):
        kind = ' class="warning" role="note"' if block.is_warning else ""
        return f"<p{kind}>{escape(block.text)}</p>"
    if isinstance(block, Table):
        return table_html(block)
    if isinstance(block, Figures):
        kind = "figures three" if block.are_small else "figures"
        return f'<div class="{kind}">{"".join(map(figure_html, block.figures))}</div>'
    if isinstance(block, Code):
        return f'<pre tabindex="0"><code>{escape(block.text)}</code></pre>'
    inner = "\n".join(block_html(one) for one in block.blocks)
    return f"<details><summary>{escape(block.summary)}</summary>\n{inner}\n</details>"


def figure_html(figure: Figure | Table) -> str:
    """One ``<figure>``: title, picture, note."""
    if isinstance(figure, Table):
        return table_html(figure)
    kind = ' class="wide"' if figure.is_wide else ""
    scroller = f'<div class="scroll" tabindex="0">{figure.svg}</div>'
    picture = scroller if figure.is_wide else figure.svg
    note = f"<p>{escape(figure.note)}</p>" if figure.note else ""
    title = f"<figcaption>{escape(figure.title)}</figcaption>"
    return f"<figure{kind}>{title}{picture}{note}</figure>"


def table_html(table: Table) -> str:
    """A semantic table; the first cell of a row is its header."""
    head = "".join(
        f'<th scope="col"{text_class(table, i)}>{value_html(as_value(name))}</th>'
        for i, name in enumerate(table.columns)
    )
    body = "\n".join(row_html(table, i, row) for i, row in enumerate(table.rows))
    kind = "scroll narrow" if table.is_narrow else "scroll"
    note = f'<p class="table-note">{escape(table.note)}</p>' if table.note else ""
    caption = f"<caption><span>{escape(table.caption)}</span></caption>"
    return (
        f'<div class="{kind}" tabindex="0"><table>{caption}\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>{note}"
    )


def row_html(table: Table, index: int, row: Sequence[Value | str]) -> str:
    """One ``<tr>``."""
    first, *rest = map(as_value, row)
    cells = "".join(
        f"<td{text_class(table, i)}>{value_html(cell)}</td>" for i, cell in enumerate(rest, start=1)
    )
    mark = ' class="ours"' if index in table.marked else ""
    return f'<tr{mark}><th scope="row">{value_html(first)}</th>{cells}</tr>'


def as_value(cell: Value | str) -> Value:
    """Plain text as a cell."""
    return cell if isinstance(cell, Value) else Value(cell)


def value_html(value: Value) -> str:
    """Figure in front, qualification small beneath it."""
    main = escape(value.main)
    main = f"<strong>{main}</strong>" if value.is_best else main
    return main + (f"<small>{escape(value.sub)}</small>" if value.sub else "")


def text_class(table: Table, column: int) -> str:
    """Columns of words are set flush left."""
    return ' class="text"' if column == 0 or column in table.text_columns else ""


# ---- Markdown


def section_markdown(part: Section) -> str:
    """The section without its figures, which only the page has; "" where it is figures alone."""
    parts = [text for block in part.blocks if (text := block_markdown(block))]
    return "\n\n".join([f"## {part.title}", *parts]) if parts else ""


def block_markdown(block: Block) -> str:
    """One block as Markdown; "" for a figure."""
    if isinstance(block, Figures):
        tables = [one for one in block.figures if isinstance(one, Table)]
        return "\n\n".join(map(table_markdown, tables))
    if isinstance(block, Text):
        return f"**Note.** {block.text}" if block.is_warning else block.text
    if isinstance(block, Table):
        return table_markdown(block)
    if isinstance(block, Code):
        return f"```\n{block.text.rstrip()}\n```"
    if isinstance(block, Details):
        parts = [text for one in block.blocks if (text := block_markdown(one))]
        return "\n\n".join([f"### {block.summary}", *parts]) if parts else ""
    return ""


def table_markdown(table: Table) -> str:
    """A pipe table under its caption."""
    aligns = (
        ":--" if i == 0 or i in table.text_columns else "--:" for i in range(len(table.columns))
    )
    lines = [
        f"*{table.caption}*",
        "",
        "| " + " | ".join(map(value_markdown, table.columns)) + " |",
        "|" + "|".join(aligns) + "|",
        *("| " + " | ".join(map(value_markdown, row)) + " |" for row in table.rows),
    ]
    return "\n".join(lines) + (f"\n\n{table.note}" if table.note else "")


def value_markdown(value: Value | str) -> str:
    """``**figure** qualification`` on one line, pipes escaped."""
    value = as_value(value)
    main = f"**{value.main}**" if value.is_best else value.main
    return f"{main} {value.sub}".strip().replace("|", "\\|").replace("\n", " ")
