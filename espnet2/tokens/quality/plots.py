"""The pages of plots: what the label stage counts, and labels against a reference.

Shapes: K clusters, L languages, T tokens.
"""

from pathlib import Path
from typing import Any

import numpy as np

from espnet2.tokens.quality.cells import Table
from espnet2.tokens.quality.counts import Counts
from espnet2.tokens.quality.tables import figure_text
from espnet2.utils.errors import ConfigError
from espnet2.utils.files import atomic_path

MAX_LANGUAGES = 60  # rows of a heat map, bars
MAX_TOKENS = 40
MAX_RUN = 25  # frames; bars of the run lengths
DPI = 100
SHARES = "magma_r"  # colours: pale is rare


def label_page(path: Path, counts: Counts, figures: dict[str, Any]) -> None:
    """``quality.png``: cluster sizes, run lengths, and the languages; ``figures``: ``summary``."""
    names = most_different(figures["languages"])
    rows = max(3.2, 1.2 + 0.16 * len(names))  # inches
    figure = new_figure(15, 4 + rows)
    upper, lower = figure.subfigures(2, 1, height_ratios=(4, rows))
    sizes, runs = upper.subplots(1, 2)
    draw_sizes(sizes, counts, figures)
    draw_runs(runs, counts, figures)
    shares, differences = lower.subplots(1, 2, width_ratios=(3, 1), sharey=True)
    draw_languages(shares, counts, names)
    draw_divergence(differences, figures, names)
    save(figure, path)


def reference_page(path: Path, sets: dict[str, tuple[Table, list[str], dict[str, Any]]]) -> None:
    """``label_quality.png``: a joint map for each label set, then PNMI by language.

    sets: name -> (table (T, K) of all languages, its tokens, figures of ``purity.figures``).
    """
    rows = [min(found["pooled"]["tokens"], MAX_TOKENS) for _, _, found in sets.values()]
    heights = [*(1.5 + 0.15 * count for count in rows), 4]  # inches
    figure = new_figure(15, sum(heights))
    axes = figure.subplots(len(heights), 1, height_ratios=heights)
    for axis, (name, (joint, tokens, found)) in zip(axes[:-1], sets.items(), strict=True):
        draw_joint(axis, name, joint, tokens, found)
    draw_pnmi(axes[-1], {name: found for name, (_, _, found) in sets.items()})
    save(figure, path)


def new_figure(width: float, height: float) -> Any:
    """An empty figure, size in inches. Raises ConfigError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("plots need matplotlib: pip install 'xeus[report]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Any, path: Path) -> None:
    """Write a PNG atomically; a figure without a window is drawn by Agg."""
    with atomic_path(path) as part:
        figure.savefig(part, format="png", dpi=DPI)


def most_different(languages: dict[str, dict[str, float]]) -> list[str]:
    """The languages whose labels differ most from the rest, in that order; not more than fit."""
    by_divergence = sorted(languages, key=lambda name: -languages[name]["divergence_bits"])
    return by_divergence[:MAX_LANGUAGES]


def draw_sizes(axes: Any, counts: Counts, figures: dict[str, Any]) -> None:
    """Clusters by size."""
    by_size = np.sort(counts.by_cluster)[::-1] * (100 / max(figures["frames"], 1))
    axes.fill_between(np.arange(len(by_size) + 1), [*by_size, 0], step="post")
    axes.set(
        title=f"{figures['used_clusters']} of {len(by_size)} clusters used, "
        f"perplexity {figures['perplexity']:.1f}",
        xlabel="clusters by size",
        ylabel="share of frames, %",
        xlim=(0, len(by_size)),
        ylim=(0, None),
    )


def draw_runs(axes: Any, counts: Counts, figures: dict[str, Any]) -> None:
    """Stretches of one label by their frames; the last bar is all that are longer."""
    bars = [*counts.runs[1:MAX_RUN].tolist(), int(counts.runs[MAX_RUN:].sum())]
    axes.bar(range(1, MAX_RUN + 1), bars)
    axes.set(
        title=f"stretches of one label, mean {figures['mean_run_frames']:.2f} frames",
        xlabel=f"frames of 20 ms ({MAX_RUN}: or more)",
        ylabel="stretches",
    )


def draw_languages(axes: Any, counts: Counts, names: list[str]) -> None:
    """Shares of the clusters in each language, clusters by size."""
    order = np.argsort(-counts.by_cluster, kind="stable")
    table = np.array([counts.labels[name][order] for name in names]).reshape(-1, len(order))
    shares = 100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1)  # (L, K)
    draw_map(axes, shares, names, "share of the language's frames, %")
    left = len(counts.labels) - len(names)
    axes.set(
        title="clusters of each language" + (f"; {left} languages not shown" if left else ""),
        xlabel="clusters by size",
    )


def draw_divergence(axes: Any, figures: dict[str, Any], names: list[str]) -> None:
    """How far each language is from all the rest; the rows of ``draw_languages``."""
    axes.barh(range(len(names)), [figures["languages"][n]["divergence_bits"] for n in names])
    axes.tick_params(axis="y", labelleft=False)
    axes.set(
        title=f"one label tells {figures['language_information']:.1%} of the language",
        xlabel="divergence from the rest, bits (0 to 1)",
    )


def draw_joint(axes: Any, name: str, joint: Table, tokens: list[str], found: dict) -> None:
    """Share of each token in each cluster: clusters ordered by the token they mostly are."""
    rows = np.argsort(-joint.row_sums, kind="stable")
    rows = rows[joint.row_sums[rows] > 0][:MAX_TOKENS]
    place_of = np.full(len(joint.row_sums), -1)
    place_of[rows] = np.arange(len(rows))
    is_shown = place_of[joint.rows] >= 0
    table = np.zeros((len(rows), len(joint.column_sums)))  # (T, K) of the shown tokens only
    table[place_of[joint.rows[is_shown]], joint.columns[is_shown]] = joint.counts[is_shown]
    is_used = joint.column_sums > 0
    shares = 100 * table[:, is_used] / joint.column_sums[is_used]
    shares = shares[:, np.lexsort((-shares.max(axis=0), shares.argmax(axis=0)))]
    draw_map(
        axes, shares, [drawable(tokens[row]) for row in rows], "share of the cluster's frames, %"
    )
    pooled = found["pooled"]
    left = pooled["tokens"] - len(rows)
    axes.title.set_parse_math(False)
    axes.set(
        title=f"{name}: phone purity {pooled['phone_purity']:.3f}, cluster purity "
        f"{pooled['cluster_purity']:.3f}, PNMI {figure_text(pooled['pnmi'])}"
        + (f"; the {len(rows)} most frequent of {pooled['tokens']} tokens" if left else ""),
        xlabel="clusters, by their most frequent token",
        ylabel="tokens by frequency",
    )


def draw_pnmi(axes: Any, sets: dict[str, dict[str, Any]]) -> None:
    """PNMI of each language, a bar a label set; a line where labels of other utterances are."""
    languages = next(iter(sets.values()))["languages"]
    names = sorted(languages, key=lambda name: -languages[name]["frames"])[:MAX_LANGUAGES]
    width, places = 0.8 / len(sets), np.arange(len(names))
    for number, (name, found) in enumerate(sets.items()):
        own = [found["languages"][language] for language in names]
        middle = places + (number - (len(sets) - 1) / 2) * width
        mean = figure_text(found["mean_of_languages"]["pnmi"])
        axes.bar(middle, [row["pnmi"] or 0 for row in own], width, label=f"{name}, mean {mean}")
        floor = [row["pnmi_exchanged"] or 0 for row in own]
        axes.hlines(floor, middle - width / 2, middle + width / 2, colors="black",
                    label=None if number else "labels of another utterance")  # fmt: skip
    axes.set_xticks(places, names, rotation=90 if len(names) > MAX_LANGUAGES // 2 else 0)
    left = len(languages) - len(names)
    axes.set(
        title="PNMI by language, most frames first"
        + (f"; {left} languages not shown" if left else ""),
        ylabel="PNMI",
        xlim=(-0.6, max(len(names), 1) - 0.4),
        ylim=(0, 1),
    )
    for text in axes.legend(fontsize="small").get_texts():
        text.set_parse_math(False)


def draw_map(axes: Any, shares: np.ndarray, names: list[str], label: str) -> None:
    """A heat map with a name for each row; colours tell small shares apart better than large."""
    from matplotlib.colors import PowerNorm  # there, since there is a figure

    if not shares.size:
        return
    norm = PowerNorm(gamma=0.5, vmin=0, vmax=max(float(shares.max(initial=0)), 1e-9))
    image = axes.imshow(shares, aspect="auto", cmap=SHARES, norm=norm, interpolation="none")
    axes.set_yticks(range(len(names)), names, fontsize="small", parse_math=False)
    axes.figure.colorbar(image, ax=axes, label=label, pad=0.01)


def drawable(token: str) -> str:
    """A token as text that the font can draw; code points where it cannot."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    has_all = all(font.get_char_index(ord(letter)) for letter in token)
    return token if has_all else " ".join(f"{ord(letter):04X}" for letter in token)
