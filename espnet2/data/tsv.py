"""Tables with a header: manifests of a shard, and ``dropped.tsv``."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from espnet2.utils.files import write_text


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """One row of ``dropped.tsv``."""

    utt_id: str
    reason: str  # unreadable, too short, too long, silent, duplicate
    detail: str


def write_rows(path: Path, columns: tuple[str, ...], rows: list[tuple]) -> None:
    """Write a TSV with a header, atomically."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE,
                        quotechar=None, escapechar="\\")  # fmt: skip
    writer.writerows([columns, *rows])
    write_text(path, buffer.getvalue())


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a TSV with a header."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\")
        return list(reader)


def write_dropped(path: Path, dropped: list[Dropped]) -> None:
    """Write ``dropped.tsv``: utt_id, reason, detail."""
    rows = [(d.utt_id, d.reason, " ".join(d.detail.split())) for d in dropped]
    write_rows(path, ("utt_id", "reason", "detail"), rows)


def read_dropped(path: Path) -> list[Dropped]:
    """Rows of a ``dropped.tsv``."""
    return [Dropped(**row) for row in read_rows(path)]
