"""Some of an index's utterances, by corpus, language and length; counted or copied in a stream."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.hours import Tally
from espnet2.data.index import Index, record_batches
from espnet2.data.index.columns import CodedColumn
from espnet2.data.index.writer import IndexWriter
from espnet2.data.languages import iso639_3
from espnet2.utils.config import guess
from espnet2.utils.errors import ConfigError, DataError

MAX_SHOWN = 20  # names of corpora or languages in a message


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which utterances; what is left open selects all."""

    corpora: tuple[str, ...] = ()
    """Names of corpora."""

    languages: tuple[str, ...] = ()
    """ISO 639-3 codes."""

    min_s: float = 0.0
    """Shortest length in seconds."""

    max_s: float = np.inf
    """Longest length in seconds; this long is still selected."""


def chosen(index: Index, selection: Selection, rows: slice) -> np.ndarray:
    """(n,) bool: True where one of the ``rows`` is selected.

    Raises ConfigError for a corpus or a language that the index does not have.
    """
    seconds = index.num_samples[rows] / SAMPLE_RATE_HZ
    is_chosen = (seconds >= selection.min_s) & (seconds <= selection.max_s)
    for column, names, what in (
        (index.corpora, selection.corpora, "corpus"),
        (index.languages, selection.languages, "language"),
    ):
        if names:
            is_chosen &= np.isin(column.codes[rows], codes_of(column, names, what))
    return is_chosen


def codes_of(column: CodedColumn, names: tuple[str, ...], what: str) -> list[int]:
    """The codes of some names."""
    for name in names:
        if name not in column.names:
            meant = guess(standard(name), column.names) if what == "language" else ""
            meant = meant or guess(name, column.names) or f"; it has {some_of(column.names)}"
            raise ConfigError(f"the index has no {what} {name!r}{meant}")
    return [column.names.index(name) for name in names]


def standard(name: str) -> str:
    """The ISO 639-3 code of a code or name; the name itself where it has none."""
    try:
        return iso639_3(name)
    except DataError:
        return name


def some_of(names: list[str]) -> str:
    """The first names, and that there are more."""
    return ", ".join(names[:MAX_SHOWN]) + " and others" * (len(names) > MAX_SHOWN)


def tally(index: Index, selection: Selection) -> Tally:
    """Utterances and hours of the selected ones."""
    counted = Tally(index.corpora.names, index.languages.names)
    for rows in index.chunks():
        mask = chosen(index, selection, rows)
        columns = (index.corpora.codes, index.languages.codes, index.num_samples)
        counted.add(*(column[rows][mask] for column in columns))
    return counted


def copy_selected(index: Index, selection: Selection, out: Path) -> int:
    """Write the selected rows to OUT/index.arrow; returns their number.

    Raises ConfigError unless OUT lies beside the index's own folder: shards are named from there.
    """
    if out.absolute().parent != index.root.absolute():
        raise ConfigError(
            f"{out}: a new index must lie in {index.root}, beside the shards it names"
        )
    if (out / "index.arrow").exists():
        raise ConfigError(f"{out}: holds an index already; give the new one a folder of its own")
    names = {"shard": index.shards, "language": index.languages, "corpus": index.corpora}
    names = {name: list(column.known) for name, column in names.items()}
    count = 0
    with IndexWriter(out / "index.arrow", names) as writer:
        for rows, batch in zip(index.chunks(), record_batches(index.path), strict=True):
            mask = chosen(index, selection, rows)
            writer.write(batch.filter(pa.array(mask)))
            count += int(mask.sum())
    return count
