"""The page around the sections: one HTML file, nothing loaded from anywhere, no script."""

from collections.abc import Sequence
from dataclasses import dataclass

from espnet2.evaluation.report.blocks import Section, section_html
from espnet2.evaluation.report.style import CSS
from espnet2.evaluation.report.svg import escape


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One headline figure."""

    label: str
    value: str
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Head:
    """The top of the page."""

    title: str
    lead: str
    """What happened, in one or two sentences."""

    meta: str
    """Commit, time, hardware."""

    tiles: Sequence[Tile]


def page_html(head: Head, sections: Sequence[Section]) -> str:
    """The whole document."""
    links = "".join(f'<a href="#{s.id}">{escape(s.short)}</a>' for s in sections)
    body = "\n".join(section_html(section) for section in sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>{escape(head.title)}</title>
<style>
{CSS}
</style>
</head>
<body>
<a class="skip" href="#results">Skip to the results</a>
<header>
<p class="kicker">XEUS · run report</p>
<h1>{escape(head.title)}</h1>
<p class="lead">{escape(head.lead)}</p>
<p class="meta">{escape(head.meta)}</p>
</header>
<ul class="tiles" aria-label="Headline figures">
{"".join(tile_html(tile) for tile in head.tiles)}
</ul>
<nav aria-label="Sections">{links}</nav>
<main>
{body}
</main>
<footer><p>{escape(head.meta)}</p></footer>
</body>
</html>
"""


def tile_html(tile: Tile) -> str:
    """One headline figure as a list item."""
    unit = f"<span class=unit>{escape(tile.unit)}</span>" if tile.unit else ""
    return (
        f'<li><span class="label">{escape(tile.label)}</span>'
        f'<span class="value">{escape(tile.value)}{unit}</span>'
        f'<span class="note">{escape(tile.note)}</span></li>\n'
    )
