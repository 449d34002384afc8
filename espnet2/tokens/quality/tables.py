"""Label quality as Markdown tables."""

from typing import Any

from espnet2.tokens.quality.purity import MEASURES

HEADS = ("phone purity", "cluster purity", "PNMI", "shuffled", "exchanged")
NOTE = (
    "Two floors of PNMI: *shuffled*, labels shuffled between the frames; *exchanged*, labels of "
    "another utterance of the same language, which know the language and how long sounds last, but "
    "not what is said. What PNMI has above them is about the sounds. All frames together, labels "
    "gain by knowing the language; the mean of the languages has no such bonus."
)
MAX_NAMED = 20  # tokens of silence


def report(found: dict[str, Any]) -> str:
    """The page ``label_quality.md`` of what ``label_quality.json`` holds."""
    sets = found["labels"]
    parts = [
        "# Label quality",
        f"Labels of `{found['index']}`; first all frames, without a reference.",
        counted_table(sets),
        "## Against the reference",
        coverage_text(found["coverage"], found["silence"]),
        overall_table(sets),
        NOTE,
        *agreement_parts(found["agreement"]),
        "## By language",
        language_table(sets),
    ]
    return "\n\n".join(parts) + "\n"


def counted_table(sets: dict[str, dict[str, Any]]) -> str:
    """What is known of each label set without a reference."""
    rows = [
        (
            name, str(own["num_clusters"]), str(own["used_clusters"]), str(own["dead_clusters"]),
            f"{own['entropy_bits']:.2f}", f"{own['perplexity']:.1f}",
            f"{own['mean_run_frames']:.2f}", f"{own['language_information']:.1%}",
        )
        for name, own in ((name, entry["counted"]) for name, entry in sets.items())
    ]  # fmt: skip
    heads = ("labels", "clusters", "used", "dead", "entropy, bits", "perplexity",
             "mean run, frames", "tells of the language")  # fmt: skip
    return table(heads, rows, texts=1)


def coverage_text(coverage: dict[str, Any], silence: list[str]) -> str:
    """Which frames were compared, and where the others are."""
    compared, frames = coverage["compared_frames"], coverage["frames"]
    lines = [
        f"Compared: {compared:,} of {frames:,} frames ({compared / frames:.1%}), in "
        f"{coverage['aligned_utterances']:,} of {coverage['utterances']:,} utterances.",
        f"Left out: {coverage['silent_frames']:,} frames of silence, "
        f"{coverage['uncovered_frames']:,} that no segment covers, {coverage['frames_without']:,} "
        "of utterances without an alignment.",
    ]
    if silence:
        lines.append(
            f"Silence: {', '.join(f'`{token}`' for token in sorted(silence)[:MAX_NAMED])}."
        )
    if coverage["first_without"]:
        lines.append(f"The first utterance that is not aligned is {coverage['first_without']}.")
    if coverage["other_utterances"]:
        lines.append(
            f"{coverage['other_utterances']:,} aligned utterances are not in the index, first "
            f"{coverage['first_other']}."
        )
    return " ".join(lines)


def overall_table(sets: dict[str, dict[str, Any]]) -> str:
    """Over all languages: all frames together, and the mean of the languages."""
    rows = []
    for name, entry in sets.items():
        pooled, mean = entry["reference"]["pooled"], entry["reference"]["mean_of_languages"]
        counted = (f"{pooled['frames']:,}", str(pooled["tokens"]))
        rows += [
            (name, "all frames together", *counted, *texts(pooled)),
            (name, "mean of the languages, by frames", counted[0], "", *texts(mean)),
        ]
    return table(("labels", "over", "frames", "tokens", *HEADS), rows, texts=2)


def agreement_parts(pairs: list[dict[str, Any]]) -> list[str]:
    """How far each two label sets agree, if there are two."""
    if not pairs:
        return []
    rows = [
        (pair["labels"][0], pair["labels"][1], f"{pair['frames']:,}", figure_text(pair["nmi"]),
         f"{pair['matched']:.1%}")
        for pair in pairs
    ]  # fmt: skip
    heads = ("labels", "and", "frames", "NMI", "frames that agree, clusters paired")
    return ["## Agreement", table(heads, rows, texts=2)]


def language_table(sets: dict[str, dict[str, Any]]) -> str:
    """The measures of every language, the label sets below each other."""
    first = next(iter(sets.values()))["reference"]["languages"]
    rows = [
        (language, name, f"{own['frames']:,}", str(own["tokens"]), *texts(own))
        for language in first
        for name, own in (
            (name, entry["reference"]["languages"][language]) for name, entry in sets.items()
        )
    ]
    return table(("language", "labels", "frames", "tokens", *HEADS), rows, texts=2)


def texts(row: dict[str, Any]) -> list[str]:
    """The measures of a row."""
    return [figure_text(row[name]) for name in MEASURES]


def figure_text(value: float | None) -> str:
    """A figure with three decimals; a dash for one that cannot be had."""
    return "–" if value is None else f"{value:.3f}"


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]], texts: int) -> str:
    """A Markdown table; all but the first ``texts`` columns are numbers."""
    marks = ["---"] * texts + ["---:"] * (len(heads) - texts)
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, marks, *rows))
