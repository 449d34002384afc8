"""The hypothesis file of one split: ``utt_id <tab> reference <tab> hypothesis``, with a header.

Rows are C-sorted by utterance id and matched by id, never by line number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from espnet2.utils.errors import DataError
from espnet2.utils.files import write_text

HEADER = "utt_id\treference\thypothesis"


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One row of a hypothesis file."""

    utt_id: str
    reference: str
    hypothesis: str


def pair_up(
    references: Mapping[str, str], hypotheses: Mapping[str, str], where: str
) -> list[Hypothesis]:
    """One row an utterance, sorted by id.

    Raises:
        DataError: an utterance without a hypothesis, or a hypothesis of an unknown utterance.
    """
    missing = sorted(references.keys() - hypotheses.keys())
    extra = sorted(hypotheses.keys() - references.keys())
    if missing:
        raise DataError(
            f"{where}: {len(missing)} utterances have no hypothesis, first {missing[0]}"
        )
    if extra:
        raise DataError(
            f"{where}: {len(extra)} hypotheses are of unknown utterances, first {extra[0]}"
        )
    return [
        Hypothesis(utt_id=utt, reference=references[utt], hypothesis=hypotheses[utt])
        for utt in sorted(references)
    ]


def write_hypotheses(path: Path, rows: list[Hypothesis]) -> None:
    """Write the rows atomically; a tab or line break inside a text is refused."""
    lines = [HEADER]
    for row in rows:
        fields = (row.utt_id, row.reference, row.hypothesis)
        if any(mark in field for field in fields for mark in "\t\n\r"):
            raise DataError(f"{path}: {row.utt_id}: a text holds a tab or a line break")
        lines.append("\t".join(fields))
    write_text(path, "\n".join(lines) + "\n")


def read_hypotheses(path: Path) -> list[Hypothesis]:
    """Read the rows back.

    Raises:
        DataError: with file and line, for a wrong header, a row without three fields, a
            repeated utterance or a file without its last line break.
    """
    text = Path(path).read_text(encoding="utf-8")
    if not text.endswith("\n"):
        raise DataError(f"{path}: the last line is cut off; delete the file and score again")
    lines = text[:-1].split("\n")
    if lines[0] != HEADER:
        raise DataError(f"{path}:1: the header must be {HEADER!r}, got {lines[0]!r}")
    rows, seen = [], set()
    for number, line in enumerate(lines[1:], start=2):
        fields = line.split("\t")
        if len(fields) != 3:
            raise DataError(f"{path}:{number}: must hold 3 fields, got {len(fields)}")
        if fields[0] in seen:
            raise DataError(f"{path}:{number}: {fields[0]} is given twice")
        seen.add(fields[0])
        rows.append(Hypothesis(utt_id=fields[0], reference=fields[1], hypothesis=fields[2]))
    return rows
