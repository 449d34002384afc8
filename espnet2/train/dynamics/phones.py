"""What each checkpoint predicts, and what it was trained on, against a CTM of phones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from espnet2.data.labels import LabelStore
from espnet2.tokens.quality.ctm import Tokens
from espnet2.tokens.quality.purity import added, count_joint, measures, pnmi

TOGETHER = 20  # label sets counted in one pass over the CTM; each waits in memory


def against_phones(
    teacher: LabelStore, predicted: list[LabelStore], ctm: Path
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """Measures of the training labels, of each checkpoint's predictions, and what was compared.

    Over all languages together; ``pnmi_exchanged`` is the floor of ``tokens.quality.purity``.

    Raises:
        DataError: a line of the CTM is wrong, or no frame of the sample has a phone.
    """
    found, coverage = [], {}
    for stores in groups([teacher, *predicted]):
        joints, counted = count_joint(stores, [ctm], Tokens())
        coverage = vars(counted)
        found += [
            {**measures(joint.pooled), "pnmi_exchanged": pnmi(added([*joint.exchanged.values()]))}
            for joint in joints
        ]
    return found[0], found[1:], coverage


def groups(stores: list[LabelStore]) -> Iterator[list[LabelStore]]:
    """``stores`` in order, a few at a time."""
    for start in range(0, len(stores), TOGETHER):
        yield stores[start : start + TOGETHER]
