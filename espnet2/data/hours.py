"""Utterances and hours: of a set by corpus and language, and what a stage took in and gave out."""

from collections import Counter

import numpy as np

from espnet2.data.frames import SAMPLE_RATE_HZ

MAX_NAMES_SHOWN = 40


class Tally:
    """Utterances and hours, counted chunk by chunk."""

    def __init__(self, corpora: list[str], languages: list[str]):
        self.corpora, self.languages = corpora, languages
        shape = (len(corpora), len(languages))
        self.utterances, self.samples = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self.by_second = np.zeros(0, np.int64)  # utterances of 0 to 1 s, of 1 to 2 s, …

    def add(self, corpora: np.ndarray, languages: np.ndarray, num_samples: np.ndarray) -> None:
        """Count utterances (n,): codes of their corpora and languages, and their lengths."""
        cells = corpora.astype(np.int64) * len(self.languages) + languages
        size, shape = self.utterances.size, self.utterances.shape
        self.utterances += np.bincount(cells, minlength=size).reshape(shape)
        samples = np.bincount(cells, weights=num_samples, minlength=size)  # exact below 2**53
        self.samples += samples.astype(np.int64).reshape(shape)
        seconds = np.bincount(num_samples // SAMPLE_RATE_HZ, minlength=len(self.by_second))
        seconds[: len(self.by_second)] += self.by_second
        self.by_second = seconds

    @property
    def hours(self) -> float:
        """Hours of all that was counted."""
        return int(self.samples.sum()) / SAMPLE_RATE_HZ / 3600

    def summary(self) -> dict:
        """Utterances and hours in all, by corpus, by language; utterances by whole seconds."""
        return {
            "total": cell(self.utterances.sum(), self.samples.sum()),
            "corpora": self._by(self.corpora, axis=1),
            "languages": self._by(self.languages, axis=0),
            "utterances_by_second": self.by_second.tolist(),
        }

    def _by(self, names: list[str], axis: int) -> dict[str, dict]:
        counts, samples = self.utterances.sum(axis), self.samples.sum(axis)
        return {n: cell(c, s) for n, c, s in zip(names, counts, samples, strict=True) if c}


def cell(utterances: int, samples: int) -> dict[str, float]:
    """Utterances and hours for people and programs."""
    return {
        "utterances": int(utterances),
        "hours": round(int(samples) / SAMPLE_RATE_HZ / 3600, 4),
    }


def hours_table(sets: dict[str, dict], paper_hours: dict[str, float]) -> str:
    """A table of hours: corpora, then languages by size, then the total.

    sets: name -> ``Tally.summary``, the first one decides the order. paper_hours: corpus -> hours
    that a paper reports; where there are any, they stand beside the corpora's.
    """
    paper = f" {'paper h':>11}" if paper_hours else ""
    lines = [f"{'':24}" + "".join(f" {name + ' h':>11} {'utts':>11}" for name in sets) + paper]
    first = next(iter(sets.values()))
    for kind in ("corpora", "languages"):
        found = {name for summary in sets.values() for name in summary[kind]}
        names = sorted(found, key=lambda name: (-first[kind].get(name, {}).get("hours", 0), name))
        shown = names if kind == "corpora" else names[:MAX_NAMES_SHOWN]
        for name in shown:
            cells = [summary[kind].get(name) for summary in sets.values()]
            lines.append(
                table_line(name, cells, paper_hours.get(name) if kind == "corpora" else None)
            )
        if len(names) > len(shown):
            lines.append(f"  and {len(names) - len(shown)} more {kind}")
    known = [paper_hours[name] for name in paper_hours]
    total = [summary["total"] for summary in sets.values()]
    return "\n".join([*lines, table_line("total", total, sum(known) if known else None)])


def table_line(name: str, cells: list[dict[str, float] | None], paper: float | None) -> str:
    """One line of the table of hours."""
    cells = [one or {"hours": 0.0, "utterances": 0} for one in cells]
    line = f"{name:24}" + "".join(f" {c['hours']:11.3f} {c['utterances']:11}" for c in cells)
    return line if paper is None else f"{line} {paper:11.1f}"


def summary(n_in: int, hours_in: float, n_out: int, hours_out: float, reasons: Counter) -> str:
    """``in: … -> out: …; dropped: …``, the line every stage prints."""
    lost = ", ".join(f"{reason} {n}" for reason, n in sorted(reasons.items())) or "none"
    return (
        f"in: {n_in} utts / {hours_in:.2f} h -> out: {n_out} utts / {hours_out:.2f} h; "
        f"dropped: {lost}"
    )
