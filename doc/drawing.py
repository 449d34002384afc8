"""How the pictures are drawn: boxes, words and arrows as SVG in the reader's own colours."""

import io
import re
from dataclasses import dataclass

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

# Placeholders that become CSS variables: (light, dark).
COLOURS = {
    "#a000f0": ("ink", "#1f2328", "#e6edf3"),
    "#a000f1": ("muted", "#59636e", "#9198a1"),
    "#a000f2": ("line", "#818b98", "#7d8590"),
    "#a000f3": ("data", "#dbeafe", "#12304f"),
    "#a000f4": ("labels", "#fef3c7", "#4a3a0a"),
    "#a000f5": ("model", "#dcfce7", "#123d22"),
    "#a000f6": ("score", "#f3e8ff", "#3b1f57"),
}
INK, MUTED, LINE, DATA, LABELS, TRAIN, SCORE = COLOURS
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "xeus", "font.family": "sans-serif"}


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle, in points from the lower left corner of the picture."""

    x: float
    y: float
    width: float
    height: float

    def side(self, name: str) -> tuple[float, float]:
        """Middle of a side: left, right, top or bottom."""
        across, up = {
            "left": (0, 0.5), "right": (1, 0.5), "top": (0.5, 1), "bottom": (0.5, 0)
        }[name]  # fmt: skip
        return self.x + across * self.width, self.y + up * self.height


class Drawing:
    """A picture of so many points, drawn with boxes, words and arrows."""

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width / 72, height / 72))
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_xlim(0, width)
        self.axes.set_ylim(0, height)
        self.axes.set_axis_off()

    def box(self, box: Box, colour: str) -> None:
        """A filled rectangle with round corners."""
        self.axes.add_patch(
            FancyBboxPatch(
                (box.x, box.y),
                box.width,
                box.height,
                facecolor=colour,
                edgecolor=LINE,
                boxstyle="round,pad=0,rounding_size=5",
                linewidth=0.8,
            )  # fmt: skip
        )

    def words(self, x: float, y: float, text: str, colour: str = INK, **how) -> None:
        """Text; ``how`` takes matplotlib's own settings."""
        settings = {"fontsize": 9, "ha": "center", "va": "center", **how}
        self.axes.text(x, y, text, color=colour, **settings)

    def arrow(self, *points: tuple[float, float]) -> None:
        """A line through the points with a head at the last."""
        *way, start, end = points
        if way:
            self.axes.plot(*zip(*way, start, strict=True), color=LINE, linewidth=1.1)
        self.axes.annotate(
            "", xy=end, xytext=start,
            arrowprops={"arrowstyle": "-|>", "color": LINE, "linewidth": 1.1,
                        "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip

    def svg(self) -> str:
        """The picture: the same drawing gives the same text."""
        stream = io.StringIO()
        with matplotlib.rc_context(STYLE):
            self.figure.savefig(
                stream, format="svg", transparent=True,
                metadata={"Date": None, "Creator": f"doc/draw.py, {maker()}"},
            )  # fmt: skip
        text = stream.getvalue()
        for placeholder, (name, _, _) in COLOURS.items():
            text = text.replace(placeholder, f"var(--{name})")
        return text.replace("<defs>", f"<defs>\n  <style>{variables()}</style>", 1)


def maker() -> str:
    """Who wrote the file; another version of it may write other bytes."""
    return f"matplotlib {matplotlib.__version__}"


def variables() -> str:
    """Colours for a light page, and for a dark one."""
    light, dark = (
        "".join(f"--{colour[0]}:{colour[i]};" for colour in COLOURS.values()) for i in (1, 2)
    )
    return f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"


def wrapped(text: str, width: int) -> str:
    """Text in lines of at most ``width`` characters, broken after spaces, commas and slashes."""
    lines = [""]
    for word in re.findall(r"[^\s,/]*[,/]+\s*|[^\s,/]+\s*", text):
        if lines[-1] and len(lines[-1] + word.rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(line.rstrip() for line in lines)


def label(drawing: Drawing, box: Box, name: str, detail: str) -> None:
    """A box's name above what is in it."""
    x, y = box.x + box.width / 2, box.y + box.height / 2
    half = 7 * detail.count("\n")
    drawing.words(x, y + (10 + half if detail else 0), name, weight="bold", fontsize=11)
    if detail:
        drawing.words(x, y - 9, detail, MUTED, fontsize=9.5, linespacing=1.3)
