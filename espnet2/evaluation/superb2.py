"""The metrics of the ML-SUPERB 2.0 challenge (Interspeech 2025, arXiv 2509.07139).

They weigh languages, not utterances: the CER of an utterance, its mean over a language, its mean
over languages. Texts lose every Unicode punctuation character and are upper-cased; four languages
are scored without spaces. An utterance whose reference is then empty counts for nothing.

In one thing this differs from the challenge's script, which cuts the first five characters off
every hypothesis: one that does not begin with a language tag is kept whole.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein

from espnet2.evaluation.bootstrap import language_interval, language_ratios
from espnet2.evaluation.text import UNKNOWN, WRONG_CHARACTER, leading_language
from espnet2.utils.seeding import rng_for

WITHOUT_SPACES = frozenset({"cmn", "jpn", "tha", "yue"})
WORST = 15


@dataclass(frozen=True, kw_only=True)
class ChallengeUtterance:
    """One utterance as the challenge counts it."""

    language: str
    cer: float | None
    """Edits over reference characters: a share, above 1 where more was said than there is; None
    where the reference is empty, as that of a cell that only names languages is."""

    is_right: bool
    """The hypothesis begins with the tag of the language."""


def normalise(text: str, language: str) -> str:
    """The challenge's text form.

    Where a punctuation mark stood alone, two spaces stay, as in the challenge.
    """
    if language in WITHOUT_SPACES:
        text = "".join(text.split())
    kept = (letter for letter in text if not unicodedata.category(letter).startswith("P"))
    return "".join(kept).upper().strip()


def challenge_utterance(reference: str, hypothesis: str, language: str) -> ChallengeUtterance:
    """Score one utterance."""
    wanted = normalise(leading_language(reference)[1], language)
    guess, text = leading_language(hypothesis.replace(UNKNOWN, WRONG_CHARACTER))
    edits = Levenshtein.distance(wanted, normalise(text, language))
    cer = edits / len(wanted) if wanted else None
    return ChallengeUtterance(language=language, cer=cer, is_right=guess == language)


def challenge_metrics(
    utterances: Iterable[ChallengeUtterance], task: str, seed: int, prefix: str = ""
) -> dict[str, Any]:
    """What the challenge reports of a split, in percent, with bootstrap intervals.

    Args:
        task: kind of the cell's task; only joint and lid name languages, lid names nothing else.
        prefix: ``dialect_`` for the split of dialects, which has no worst languages and no spread.

    Returns:
        ``superb2_cer`` and ``superb2_lid`` (``dialect_cer``, ``dialect_lid``), ``worst15_cer``,
        ``cer_language_sd``, those that the task has; ``intervals``; ``superb2_by_language``.
    """
    parts: dict[str, list[ChallengeUtterance]] = defaultdict(list)
    for utterance in utterances:
        if utterance.cer is not None or task == "lid":
            parts[utterance.language].append(utterance)
    shares: dict[str, dict[str, list[float]]] = {}
    if task != "lid":
        shares["cer"] = {name: [utt.cer for utt in part] for name, part in sorted(parts.items())}
    if task in ("lid", "joint"):
        shares["lid"] = {
            name: [float(utt.is_right) for utt in part] for name, part in sorted(parts.items())
        }
    result: dict[str, Any] = {"intervals": {}}
    for kind, by_language in shares.items():
        names = {f"{prefix or 'superb2_'}{kind}": mean_of_languages}
        if kind == "cer" and not prefix:
            names |= {"worst15_cer": mean_of_worst, "cer_language_sd": spread_of_languages}
        add_figures(result, by_language, names, rng_for(seed, "bootstrap", prefix, kind))
    if not prefix:
        result["superb2_by_language"] = {
            name: {kind: percent(float(np.mean(values[name]))) for kind, values in shares.items()}
            for name in sorted(parts)
        }
    return result


def add_figures(
    result: dict[str, Any],
    by_language: dict[str, list[float]],
    names: dict[str, Callable[[np.ndarray], np.ndarray]],
    rng: np.random.Generator,
) -> None:
    """Each figure of one kind over languages, and its interval."""
    means = np.array([[np.mean(values) for values in by_language.values()]])  # (1, L)
    drawn = language_ratios(
        ((np.array(values), np.ones(len(values))) for values in by_language.values()), rng
    )
    for name, statistic in names.items():
        value = statistic(means)[0] if means.size else np.nan
        result[name] = percent(float(value)) if np.isfinite(value) else None
        found = result[name] is not None
        result["intervals"][name] = language_interval(drawn, statistic) if found else None


def mean_of_languages(means: np.ndarray) -> np.ndarray:
    """(R, L) -> (R,): every language weighs the same."""
    return means.mean(axis=1)


def mean_of_worst(means: np.ndarray) -> np.ndarray:
    """(R, L) -> (R,): over the 15 languages of highest CER, or all where there are fewer."""
    return np.sort(means, axis=1)[:, -WORST:].mean(axis=1)


def spread_of_languages(means: np.ndarray) -> np.ndarray:
    """(R, L) -> (R,): standard deviation over languages (over L - 1); undefined for one."""
    if means.shape[1] < 2:
        return np.full(len(means), np.nan)
    return means.std(axis=1, ddof=1)


def percent(share: float) -> float:
    """In percent, rounded so that it prints the same everywhere."""
    return round(100 * share, 4)
