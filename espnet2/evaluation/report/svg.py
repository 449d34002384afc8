"""Figures as inline SVG that follows the page: its fonts, its colours, light and dark.

matplotlib draws with placeholder colours; each becomes a CSS variable of the page. Ids get a
prefix, so that many figures fit in one document. The same data give the same bytes.
"""

import io
import re

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH_PX = 380.0  # of a figure's own coordinates; text of 10 stays readable on a phone
POINTS_PER_INCH = 72.0

INK, MUTED, GRID, PAPER = "#a000f0", "#a000f1", "#a000f2", "#a000f3"
SERIES = tuple(f"#a0000{i}" for i in range(1, 8))
VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--rule)",
    PAPER: "var(--card)",
    **{colour: f"var(--c{i})" for i, colour in enumerate(SERIES, start=1)},
}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "xeus",
    "font.size": 10.0,
    "axes.labelsize": 10.0,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.fontsize": 9.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.linewidth": 1.0,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.handlelength": 1.2,
    "legend.borderaxespad": 0.0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def blank(height_px: float, width_px: float = WIDTH_PX) -> tuple[Figure, Axes]:
    """An empty figure with one pair of axes; call it, and ``to_svg``, inside ``styled()``."""
    size = (width_px / POINTS_PER_INCH, height_px / POINTS_PER_INCH)
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()


def styled():
    """Context in which figures are made and saved."""
    return matplotlib.rc_context(STYLE)


def to_svg(figure: Figure, name: str, alt: str) -> str:
    """The figure as an ``<svg>`` element; ``alt`` says in words what it shows."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'\b(id=")', rf"\g<1>{name}-", text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    text = re.sub(r"font: ([0-9.]+)px [^;\"]*", r"font-size: \1px", text)
    head = text[: text.index(">") + 1]
    box = re.search(r'viewBox="([^"]*)"', head).group(1)
    opening = f'<svg viewBox="{box}" role="img" aria-label="{escape(alt)}" class="chart">'
    body = re.sub(r"\n\s*", "\n", text[len(head) :].strip())
    return opening + body.replace("xlink:href", "href")


def escape(text: str) -> str:
    """Text for HTML, attributes included."""
    for raw, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(raw, safe)
    return text
