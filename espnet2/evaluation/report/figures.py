"""The report's figures. Each function takes plain data and returns one ``<svg>``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from espnet2.evaluation.report.svg import (
    GRID,
    INK,
    MUTED,
    PAPER,
    SERIES,
    WIDTH_PX,
    blank,
    styled,
    to_svg,
)

SMALL_PX = 300.0  # width of a figure that shares its row with two others
ROW_PX = 17.0  # height of one row of a bar or dot plot
LEGEND_PX = 16.0  # height of a line of a legend, which names three series


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a plot."""

    label: str
    points: Sequence[tuple[float, float]]
    colour: str = SERIES[0]
    dashed: bool = False
    dots: bool = False
    """Draw single measurements (validation) as dots on the line."""


@dataclass(frozen=True, kw_only=True)
class Dot:
    """One value in a dot plot."""

    row: str
    series: str
    value: float
    low: float | None = None
    high: float | None = None


def curves(
    name: str,
    alt: str,
    lines: Sequence[Curve],
    ylabel: str,
    log_y: bool = False,
    width_px: float = WIDTH_PX,
) -> str:
    """Lines over training steps, each with its name at the side or in a legend."""
    with styled():
        figure, axes = blank(210 if width_px == SMALL_PX else 230, width_px)
        for line in lines:
            axes.plot(
                *zip(*line.points, strict=True),
                color=line.colour,
                linestyle=(0, (4, 2)) if line.dashed else "-",
                marker="o" if line.dots else None,
                markersize=3.5,
                label=line.label,
            )
        if log_y:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.yaxis.set_minor_locator(NullLocator())
        axes.set(xlabel="step", ylabel=ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.margins(x=0.02)
        if len(lines) > 1:
            figure.legend(loc="outside upper left", ncols=3, labelcolor=INK)
        return to_svg(figure, name, alt)


def bars(name: str, alt: str, values: Mapping[str, float], unit: str, colour: str) -> str:
    """Horizontal bars with their numbers, in the order given."""
    with styled():
        figure, axes = blank(38 + ROW_PX * max(len(values), 1))
        axes.barh(list(values), list(values.values()), color=colour, height=0.62)
        top = max(values.values(), default=1.0) or 1.0
        for row, value in enumerate(values.values()):
            axes.text(value + 0.012 * top, row, number(value), va="center", fontsize=9, color=INK)
        axes.set(xlabel=unit, xlim=(0, 1.16 * top))
        finish_rows(axes, len(values))
        return to_svg(figure, name, alt)


def dots(name: str, alt: str, points: Sequence[Dot], unit: str, palette: Mapping[str, str]) -> str:
    """One row a thing, one dot a series, a thin line for the interval."""
    rows = list(dict.fromkeys(point.row for point in points))
    series = list(dict.fromkeys(point.series for point in points))
    with styled():
        has_intervals = any(point.low is not None for point in points)
        shifts = row_shifts(len(series)) if has_intervals else [0.0] * len(series)
        row_px = ROW_PX * (max(1.9, 0.46 * len(series)) if has_intervals else 1.0)
        legend_px = LEGEND_PX * (math.ceil(len(series) / 3) - 1)  # of lines after the first
        figure, axes = blank(66 + legend_px + row_px * len(rows))
        for one, shift in zip(series, shifts, strict=True):
            mine = [point for point in points if point.series == one]
            places = [rows.index(point.row) + shift for point in mine]
            for place, point in zip(places, mine, strict=True):
                if point.low is not None and point.high is not None:
                    axes.plot(
                        [point.low, point.high], [place, place], color=palette[one], linewidth=1.4
                    )
            values = [point.value for point in mine]
            axes.plot(
                values, places, "o", color=palette[one], markersize=6.5, label=one,
                markeredgecolor=PAPER, markeredgewidth=0.8,
            )  # fmt: skip
        axes.set_yticks(range(len(rows)), rows)
        axes.set(xlabel=unit, xlim=roomy(*axes.get_xlim()))
        finish_rows(axes, len(rows))
        figure.legend(loc="outside upper left", ncols=3, labelcolor=INK, handletextpad=0.2)
        return to_svg(figure, name, alt)


def row_shifts(count: int) -> list[float]:
    """Where in a row each of ``count`` series has its dot, in rows from the middle, all inside."""
    step = min(0.22, 0.9 / max(count, 1))
    return [step * (place - (count - 1) / 2) for place in range(count)]


def roomy(low: float, high: float) -> tuple[float, float]:
    """Limits of a percent axis: at least five points apart, so that equal values look equal."""
    missing = max(0.0, 5.0 - (high - low)) / 2
    return max(low - missing, -1.0), high + missing


def finish_rows(axes: Axes, count: int) -> None:
    """Rows read from the top; grid lines are vertical only."""
    axes.set_ylim(count - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.xaxis.set_major_locator(MaxNLocator(5))


def confusion(
    name: str, alt: str, table: Mapping[str, Mapping[str, int]], extra: str | None = None
) -> str:
    """Reference languages as rows, guesses as columns; the darker, the larger the row's share."""
    languages = sorted(table)
    guesses = [*languages, *sorted({g for row in table.values() for g in row} - set(languages))]
    if extra in guesses:
        guesses.append(guesses.pop(guesses.index(extra)))
    side = max(WIDTH_PX, 15.0 * len(guesses) + 60)
    with styled():
        figure, axes = blank(side * (len(languages) + 3) / (len(guesses) + 3), side)
        for y, language in enumerate(languages):
            total = sum(table[language].values())
            for guess, count in table[language].items():
                x, share = guesses.index(guess), count / total
                hit = guess == language
                axes.add_patch(
                    Rectangle(
                        (x - 0.5, y - 0.5), 1, 1, linewidth=0, alpha=0.12 + 0.88 * share,
                        facecolor=SERIES[0] if hit else SERIES[1],
                    )
                )  # fmt: skip
        axes.set_xticks(range(len(guesses)), guesses, rotation=90)
        axes.set_yticks(range(len(languages)), languages)
        axes.set_xlim(-0.5, len(guesses) - 0.5)
        axes.set_ylim(len(languages) - 0.5, -0.5)
        axes.set_xticks([i - 0.5 for i in range(len(guesses) + 1)], minor=True)
        axes.set_yticks([i - 0.5 for i in range(len(languages) + 1)], minor=True)
        axes.grid(which="major", visible=False)
        axes.grid(which="minor", color=GRID, linewidth=0.5)
        axes.set(xlabel="the probe says", ylabel="spoken language")
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(labelcolor=INK, labelsize=9)
        return to_svg(figure, name, alt)


def layer_shares(
    name: str, alt: str, weights: Mapping[str, Sequence[float]], palette: Mapping[str, str]
) -> str:
    """The probe's learned share of each encoder layer; the dashed line is an equal share."""
    longest = max(len(shares) for shares in weights.values())
    with styled():
        figure, axes = blank(200, SMALL_PX)
        for label, shares in weights.items():
            axes.plot(
                range(len(shares)), shares, "o-", markersize=4, label=label, color=palette[label]
            )
        for share in {equal_share(shares) for shares in weights.values()}:
            axes.axhline(share, color=MUTED, linestyle=(0, (4, 2)), linewidth=1.2)
        axes.set(xlabel="layer", ylabel="share", ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(min(longest, 10), integer=True))
        figure.legend(loc="outside upper left", ncols=3, labelcolor=INK)
        return to_svg(figure, name, alt)


def equal_share(shares: Sequence[float]) -> float:
    """The share of each layer where a probe starts; an input with none at all is not mixed."""
    return 1 / (len(shares) - (shares[0] == 0))


def number(value: float) -> str:
    """A figure with as many digits as carry meaning."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
