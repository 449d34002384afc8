"""Error rates: edits over the number of reference characters, or phones.

One edit is an insertion, a deletion or a substitution of one Unicode code point (Levenshtein, as
in jiwer). The published tables come from sclite, which can count more (``sclite.py``); both counts
are kept.
"""

from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from espnet2.asr.config import Units
from espnet2.evaluation.sclite import sclite_edits
from espnet2.evaluation.text import scored_units


@dataclass(frozen=True, kw_only=True)
class ErrorCount:
    """Errors of some texts, and what they are errors of."""

    edits: int
    """Insertions, deletions and substitutions that turn the reference into the hypothesis."""

    sclite_edits: int
    """The same of the alignment that sclite chooses; at least ``edits``."""

    characters: int
    """Reference characters, spaces between words included; phones where these are scored."""

    @property
    def rate(self) -> float | None:
        """Errors per 100 reference characters; None where the reference is empty."""
        return 100 * self.edits / self.characters if self.characters else None


def count_errors(reference: str, hypothesis: str, units: Units = "characters") -> ErrorCount:
    """Edits between two texts, language tags left out.

    An empty reference counts no characters and one edit for each character of the hypothesis.
    """
    wanted, found = scored_units(reference, units), scored_units(hypothesis, units)
    return ErrorCount(
        edits=Levenshtein.distance(wanted, found),
        sclite_edits=sclite_edits(wanted, found),
        characters=len(wanted),
    )
