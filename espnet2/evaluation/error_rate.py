"""Character error rate: edit distance over the number of reference characters.

One edit is an insertion, a deletion or a substitution of one Unicode code point (Levenshtein, as
in jiwer). sclite aligns with weights 4/3/3 instead, which can only count the same or more edits.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from espnet2.evaluation.text import scored_characters


@dataclass(frozen=True, kw_only=True)
class ErrorCount:
    """Errors of some texts, and what they are errors of."""

    edits: int
    """Insertions, deletions and substitutions that turn the reference into the hypothesis."""

    characters: int
    """Reference characters, spaces between words included."""

    @property
    def rate(self) -> float | None:
        """Errors per 100 reference characters; None where the reference is empty."""
        return 100 * self.edits / self.characters if self.characters else None


def char_errors(reference: str, hypothesis: str) -> ErrorCount:
    """Edits between two texts, language tags left out.

    An empty reference counts no characters and one edit for each character of the hypothesis.
    """
    reference, hypothesis = scored_characters(reference), scored_characters(hypothesis)
    return ErrorCount(edits=Levenshtein.distance(reference, hypothesis), characters=len(reference))


def pooled(counts: Iterable[ErrorCount]) -> ErrorCount:
    """The sum of several counts."""
    counts = list(counts)
    return ErrorCount(
        edits=sum(count.edits for count in counts),
        characters=sum(count.characters for count in counts),
    )
