"""How well labels stand for tokens (phones, characters) that a reference gives to the same frames.

The measures are HuBERT's (arXiv 2106.07447), of the joint distribution p(y, z) of token y and
cluster z of a frame:

- phone purity: sum over z of max over y of p(y, z); the accuracy of naming each cluster by its most
  frequent token. Splitting clusters can only raise it.
- cluster purity: sum over y of max over z of p(y, z); how far each token has a cluster of its own.
  Splitting clusters can only lower it.
- PNMI: I(y; z) / H(y); the share of the token's entropy that the label takes away, 0 to 1.

Two floors stand beside PNMI, since many clusters on few frames have some by chance alone:

- shuffled: labels shuffled between the frames of the table.
- exchanged: each utterance with the labels of another one of its language (turned by half of its
  length). They know the language and stay as long as labels do, but not what is said.

Over all languages together PNMI also rewards labels that merely know the language, because
languages differ in tokens; ``exchanged`` shows how much. The mean of the languages weighted by
frames has no such bonus.

Shapes: N frames, T tokens, K clusters.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from espnet2.data.labels import LabelStore
from espnet2.tokens.quality.cells import Cells, Table
from espnet2.tokens.quality.counts import entropy
from espnet2.tokens.quality.ctm import SILENT, UNCOVERED, Coverage, Tokens, aligned_rows
from espnet2.utils.errors import DataError
from espnet2.utils.seeding import rng_for

ID_BITS = 16  # of a cluster in a code
TOKEN_BITS = 24
MAX_DRAWN = 10**9  # numpy's limit for a draw without replacement
SHUFFLES = 5
MEASURES = ("phone_purity", "cluster_purity", "pnmi", "pnmi_shuffled", "pnmi_exchanged")


@dataclass(frozen=True)
class Joint:
    """How often token and cluster met in a frame; only languages with a compared frame."""

    tokens: list[str]
    languages: dict[str, Table]  # (T, K) each
    exchanged: dict[str, Table]  # (T, K) each: the labels are those of another utterance

    @cached_property
    def pooled(self) -> Table:
        """(T, K): all languages together; a token is the same in all of them."""
        return added(list(self.languages.values()))


class Counter:
    """Counts one label set while the reference is read."""

    def __init__(self, store: LabelStore) -> None:
        self._store, self._cells, self._exchanged = store, Cells(), Cells()
        self._waiting: dict[str, np.ndarray] = {}  # language: labels of its last utterance

    def add(self, row: int, language: str, codes: np.ndarray, is_compared: np.ndarray) -> None:
        """Count an utterance: ``codes`` (N,) of its compared frames, without their cluster."""
        ids = self._store.labels(row)
        other = np.resize(self._waiting.get(language, ids), len(ids))
        self._cells.add(codes | ids[is_compared])
        self._exchanged.add(codes | np.roll(other, len(ids) // 2)[is_compared])
        self._waiting[language] = ids

    def joint(self, languages: list[str], tokens: list[str]) -> Joint:
        """What was counted."""
        return Joint(
            tokens, tables_of(self._cells, languages), tables_of(self._exchanged, languages)
        )


def count_joint(
    stores: list[LabelStore], ctms: list[Path], tokens: Tokens
) -> tuple[list[Joint], Coverage]:
    """Tokens and clusters of the frames of several label sets of one index, in one pass.

    Raises:
        DataError: a line of a CTM is wrong, or no frame of the index has a token.
    """
    index, coverage = stores[0].index, Coverage()
    languages, counters = {}, [Counter(store) for store in stores]
    for row, language, aligned in aligned_rows(index, ctms, tokens, coverage):
        numbers = aligned.frame_tokens(index.frames_of(row), tokens)
        is_compared = numbers >= 0
        coverage.uncovered_frames += int((numbers == UNCOVERED).sum())
        coverage.silent_frames += int((numbers == SILENT).sum())
        coverage.compared_frames += int(is_compared.sum())
        if not is_compared.any():
            continue
        code = languages.setdefault(language, len(languages)) << TOKEN_BITS
        codes = (code | numbers[is_compared]) << ID_BITS
        for counter in counters:
            counter.add(row, language, codes, is_compared)
    if not coverage.compared_frames:
        raise DataError(
            f"{ctms[0]}: no frame of {index.path} has a token: {coverage.aligned_utterances} of "
            f"{coverage.utterances} utterances are aligned; they must bear the ids of the index"
        )
    return [counter.joint(list(languages), tokens.names) for counter in counters], coverage


def tables_of(cells: Cells, languages: list[str]) -> dict[str, Table]:
    """The table (T, K) of each language, of counted codes of language, token and cluster."""
    codes, counts = cells.counted()
    starts = np.searchsorted(codes, np.arange(len(languages) + 1) << (TOKEN_BITS + ID_BITS))
    codes = codes & (1 << TOKEN_BITS + ID_BITS) - 1
    parts = zip(languages, starts[:-1], starts[1:], strict=True)
    return {
        language: Table.of_codes(codes[start:end], counts[start:end], ID_BITS)
        for language, start, end in sorted(parts)
    }


def added(tables: list[Table]) -> Table:
    """The sum of tables (T, K)."""
    codes = np.concatenate([table.rows << ID_BITS | table.columns for table in tables])
    return Table.of_codes(codes, np.concatenate([table.counts for table in tables]), ID_BITS)


def figures(joint: Joint, seed: int) -> dict[str, Any]:
    """The measures pooled, of each language, and the mean of the languages weighted by frames."""
    languages = {
        name: with_floors(table, joint.exchanged[name], rng_for(seed, "shuffle", name))
        for name, table in joint.languages.items()
    }
    exchanged = added(list(joint.exchanged.values()))
    rows = list(languages.values())
    return {
        "pooled": with_floors(joint.pooled, exchanged, rng_for(seed, "shuffle")),
        "mean_of_languages": {name: weighted_mean(rows, name) for name in MEASURES},
        "languages": languages,
    }


def with_floors(joint: Table, exchanged: Table, rng: np.random.Generator) -> dict[str, Any]:
    """The measures of a table (T, K), and its floors."""
    floors = {"pnmi_shuffled": pnmi_shuffled(joint, rng), "pnmi_exchanged": pnmi(exchanged)}
    return {**measures(joint), **floors}


def measures(joint: Table) -> dict[str, Any]:
    """The three measures of a table (T, K), and what they were counted on.

    PNMI is None where there is one token only: there is nothing to tell.
    """
    return {
        "frames": joint.total,
        "tokens": int((joint.row_sums > 0).sum()),
        "clusters": int((joint.column_sums > 0).sum()),
        "phone_purity": int(largest(joint.columns, joint.counts).sum()) / joint.total,
        "cluster_purity": int(largest(joint.rows, joint.counts).sum()) / joint.total,
        "pnmi": pnmi(joint),
    }


def largest(codes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(last code + 1,) int64: the largest count of each code."""
    result = np.zeros(int(codes.max(initial=-1)) + 1, np.int64)
    np.maximum.at(result, codes, counts)
    return result


def information(joint: Table) -> float:
    """Mutual information of rows and columns in bits; never below 0."""
    margins = entropy(joint.row_sums) + entropy(joint.column_sums)
    return max(margins - entropy(joint.counts), 0.0)


def pnmi(joint: Table) -> float | None:
    """Mutual information over the entropy of the rows; None where that is 0."""
    tokens = entropy(joint.row_sums)
    return min(information(joint) / tokens, 1.0) if tokens else None


def pnmi_shuffled(joint: Table, rng: np.random.Generator) -> float | None:
    """Mean PNMI after several shuffles."""
    drawn = [pnmi(shuffled(joint, rng)) for _ in range(SHUFFLES)]
    return None if None in drawn else math.fsum(drawn) / SHUFFLES


def shuffled(joint: Table, rng: np.random.Generator) -> Table:
    """The table (T, K) after a shuffle of the labels between the frames, each equally likely.

    Drawn from the sums of its rows and columns, which is all that a shuffle keeps: each token takes
    its frames out of the labels that are left, without replacement.

    Raises:
        DataError: there are more frames than numpy can draw from.
    """
    if joint.total >= MAX_DRAWN:
        raise DataError(
            f"{joint.total:,} aligned frames; labels can be shuffled between fewer than "
            f"{MAX_DRAWN:,} (5,500 hours): measure a part of the set"
        )
    used = np.flatnonzero(joint.column_sums)
    left, parts = joint.column_sums[used], []
    for token in np.flatnonzero(joint.row_sums):
        drawn = rng.multivariate_hypergeometric(left, joint.row_sums[token], method="marginals")
        left = left - drawn
        cells = np.flatnonzero(drawn)
        parts.append((np.full(len(cells), token), used[cells], drawn[cells]))
    return Table(*map(np.concatenate, zip(*parts, strict=True)))


def weighted_mean(rows: list[dict[str, Any]], name: str) -> float | None:
    """The mean of a figure over rows, each weighted by its frames; rows without it do not count."""
    known = [(row["frames"], row[name]) for row in rows if row[name] is not None]
    frames = sum(count for count, _ in known)
    return math.fsum(count * value for count, value in known) / frames if frames else None
