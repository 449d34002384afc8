"""Tables with a header: manifests of a shard, and ``dropped.tsv``."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from espnet2.utils.files import atomic_path


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """One row of ``dropped.tsv``."""

    utt_id: str
    reason: str  # unreadable, too short, too long, silent, duplicate
    detail: str


def write_rows(
    path: Path, columns: tuple[str, ...], rows: Iterable[tuple], durable: bool = True
) -> None:
    """Write a TSV with a header, atomically, a row at a time."""
    with atomic_path(path, durable) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE,
                            quotechar=None, escapechar="\\")  # fmt: skip
        writer.writerow(columns)
        writer.writerows(rows)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a TSV with a header."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\")
        return list(reader)


def write_dropped(path: Path, dropped: Iterable[Dropped]) -> None:
    """Write ``dropped.tsv``: utt_id, reason, detail."""
    rows = ((d.utt_id, d.reason, " ".join(d.detail.split())) for d in dropped)
    write_rows(path, ("utt_id", "reason", "detail"), rows)


def read_dropped(path: Path) -> list[Dropped]:
    """Rows of a ``dropped.tsv``."""
    return [Dropped(**row) for row in read_rows(path)]
