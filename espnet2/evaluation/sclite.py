"""The errors that sclite counts, the scorer of the published ML-SUPERB tables.

sclite looks for the alignment of least weight: 3 for an insertion or a deletion, 4 for a
substitution. It then counts the edits of that alignment, which can be more than the edit distance
has: five substitutions (20) lose to three insertions and three deletions (18). Where alignments of
equal weight differ in their edits, sclite takes a substitution or a match before a gap, and an
insertion before a deletion, looking from the end. (NIST SCTK 2.4, its options at their defaults.)
"""

from collections.abc import Sequence

import numpy as np
from rapidfuzz.distance import Levenshtein

GAP, SUBSTITUTION = 3, 4


def sclite_edits(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Insertions, deletions and substitutions of sclite's alignment of two token sequences."""
    least, fewest = lightest(reference, hypothesis)
    substitutions = least - GAP * fewest  # of the alignment of least weight with the fewest edits
    if substitutions < GAP:  # only 3 of them weigh as much as gaps do: 4 gaps, one edit more
        return fewest
    return edits_of_alignment(reference, hypothesis)


def lightest(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[int, int]:
    """Least weight of an alignment, and the fewest edits of an alignment of that weight."""
    unit = len(reference) + len(hypothesis) + 1  # more than an alignment can have edits
    gap, substitution = GAP * unit + 1, SUBSTITUTION * unit + 1
    weights = (gap, gap, substitution)
    return divmod(Levenshtein.distance(reference, hypothesis, weights=weights), unit)


def edits_of_alignment(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Edits along sclite's path through the table of least weights."""
    table = weight_table(reference, hypothesis)
    row, column, edits = len(reference), len(hypothesis), 0
    while row and column:
        step = SUBSTITUTION * (reference[row - 1] != hypothesis[column - 1])
        if table[row, column] == table[row - 1, column - 1] + step:
            row, column, edits = row - 1, column - 1, edits + bool(step)
        elif table[row, column] == table[row, column - 1] + GAP:
            column, edits = column - 1, edits + 1
        else:
            row, edits = row - 1, edits + 1
    return edits + row + column


def weight_table(reference: Sequence[str], hypothesis: Sequence[str]) -> np.ndarray:
    """(R + 1, H + 1) least weight of aligning each beginning with each beginning."""
    ids = {token: number for number, token in enumerate({*reference, *hypothesis})}
    ours = np.array([ids[token] for token in reference], int)
    theirs = np.array([ids[token] for token in hypothesis], int)
    gaps = GAP * np.arange(len(theirs) + 1)
    table = np.empty((len(ours) + 1, len(theirs) + 1), int)
    table[0] = gaps
    for row, token in enumerate(ours, start=1):
        best = table[row - 1] + GAP  # a deletion
        best[1:] = np.minimum(best[1:], table[row - 1, :-1] + SUBSTITUTION * (theirs != token))
        # Insertions come from the left in the same row: a running minimum of weight less gaps.
        table[row] = np.minimum.accumulate(best - gaps) + gaps
    return table
