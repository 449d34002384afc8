"""The hypothesis file of one split: ``utt_id <tab> reference <tab> hypothesis``, with a header.

Rows are C-sorted by utterance id, to be matched by id, never by line number.
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
