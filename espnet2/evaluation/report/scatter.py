"""A scatter plot over a logarithmic axis, each dot with its name where there is room."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from espnet2.evaluation.report.svg import INK, MUTED, PAPER, blank, styled, to_svg

ALL_NAMED = 40  # so many dots fit with a name each; of more, the ends of the error axis are named
NAMED_ENDS = 8
NONE_PLACE = 0.5  # "0" stands this share below the smallest amount, on an axis without a zero


@dataclass(frozen=True, kw_only=True)
class Spot:
    """One dot."""

    name: str
    series: str
    x: float
    """At least 0; 0 is drawn at the left end and says so."""

    y: float
    is_hollow: bool = False


def scatter(
    name: str,
    alt: str,
    spots: Sequence[Spot],
    labels: tuple[str, str],
    palette: Mapping[str, str],
) -> str:
    """Dots of one colour a series; ``labels`` are those of the two axes."""
    positive = [spot.x for spot in spots if spot.x > 0]
    zero_at = NONE_PLACE * min(positive, default=1.0)
    named = names_shown(spots)
    with styled():
        figure, axes = blank(300)
        for series in dict.fromkeys(spot.series for spot in spots):
            for is_hollow in (False, True):
                mine = [s for s in spots if (s.series, s.is_hollow) == (series, is_hollow)]
                axes.plot(
                    [s.x or zero_at for s in mine], [s.y for s in mine], "o", markersize=5.5,
                    label=None if is_hollow else series, color=palette[series],
                    markerfacecolor="none" if is_hollow else palette[series],
                    markeredgecolor=palette[series] if is_hollow else PAPER,
                    markeredgewidth=1.4 if is_hollow else 0.8,
                )  # fmt: skip
        for spot in spots:
            if (spot.name, spot.series) in named:
                axes.annotate(
                    spot.name, (spot.x or zero_at, spot.y), (3.5, 3.5), fontsize=8, color=MUTED,
                    textcoords="offset points",
                )  # fmt: skip
        hours_axis(axes, positive, has_zero=len(positive) < len(spots))
        axes.set(xlabel=labels[0], ylabel=labels[1], ylim=(0, None))
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.margins(x=0.08, y=0.08)
        if len({spot.series for spot in spots}) > 1:
            figure.legend(loc="outside upper left", ncols=3, labelcolor=INK, handletextpad=0.2)
        return to_svg(figure, name, alt)


def names_shown(spots: Sequence[Spot]) -> set[tuple[str, str]]:
    """(name, series) of the dots that get their name: of the first series, all or the extremes."""
    first = [spot for spot in spots if spot.series == spots[0].series]
    first.sort(key=lambda spot: (spot.y, spot.name))
    if len(first) > ALL_NAMED:
        first = first[:NAMED_ENDS] + first[-NAMED_ENDS:]
    return {(spot.name, spot.series) for spot in first}


def hours_axis(axes: Axes, positive: Sequence[float], has_zero: bool) -> None:
    """Logarithmic where amounts differ by more than three times; zero is a tick of its own."""
    least = min(positive, default=1.0)
    if positive and (has_zero or max(positive) > 3 * least):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=7))
        axes.xaxis.set_minor_locator(NullLocator())

    def tick(value: float, _: int) -> str:
        if has_zero and value < 0.95 * least:
            return ""
        return f"{value:,.0f}" if value >= 1 else f"{value:g}"

    axes.xaxis.set_major_formatter(FuncFormatter(tick))
    if has_zero:
        axes.axvline((1 + NONE_PLACE) / 2 * least, color=MUTED, linestyle=(0, (2, 3)), linewidth=1)
        axes.annotate(
            "none", (NONE_PLACE * least, 0), (0, -4), xycoords=("data", "axes fraction"),
            ha="center", va="top", textcoords="offset points", fontsize=9.5, color=MUTED,
        )  # fmt: skip
