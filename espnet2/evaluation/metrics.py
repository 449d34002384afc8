"""The metrics of one split: CER and language identification, pooled, by language, by corpus.

Figures are pooled over utterances (micro) and, named ``_macro``, means over languages; ``_sclite``
is the pooled CER with the errors that sclite counts. The challenge's metrics stand beside them
(``superb2.py``). Where units are phones, CER is PER.

Two kinds of languages, as in ML-SUPERB: *normal*, and *few-shot* (five training utterances).
Language identification counts normal languages only. It is given three times: over all their
utterances as the benchmark does, over real corpora alone (few speakers a language, so a probe may
recognise the speaker: ``lid_in_domain``), and over corpora whose test voices were never heard in
training and are the same in every language (``lid_unseen_voice``).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from espnet2.asr.config import Units
from espnet2.evaluation.bootstrap import language_interval, language_ratios, ratio_interval
from espnet2.evaluation.error_rate import ErrorCount, count_errors
from espnet2.evaluation.superb2 import (
    ChallengeUtterance,
    challenge_metrics,
    challenge_utterance,
    mean_of_languages,
)
from espnet2.evaluation.text import first_language
from espnet2.utils.seeding import rng_for

NO_LANGUAGE = "none"  # in the confusion matrix: the hypothesis holds no language tag


@dataclass(frozen=True, kw_only=True)
class ScoredUtterance:
    """One utterance with its errors and what they count towards."""

    utt_id: str
    language: str
    """ISO 639-3 code of the reference."""

    corpus: str
    is_few_shot: bool
    is_unseen_voice: bool
    errors: ErrorCount
    guess: str | None
    """Language the hypothesis names first; None where it names none."""

    challenge: ChallengeUtterance
    """As ML-SUPERB 2.0 counts it."""

    @property
    def is_right(self) -> bool:
        return self.guess == self.language


def score_utterance(
    reference: str, hypothesis: str, *, language: str, units: Units = "characters", **facts: Any
) -> ScoredUtterance:
    """Count the errors of one hypothesis; ``facts`` are the remaining fields."""
    return ScoredUtterance(
        language=language,
        errors=count_errors(reference, hypothesis, units),
        guess=first_language(hypothesis),
        challenge=challenge_utterance(reference, hypothesis, language),
        **facts,
    )


def split_metrics(utterances: list[ScoredUtterance], task: str, seed: int) -> dict[str, Any]:
    """Every metric a task has, with bootstrap intervals; rates and accuracies in percent.

    task: kind of the cell's task: mono, multi, lid or joint.
    """
    few_shot = [utt for utt in utterances if utt.is_few_shot]
    normal = [utt for utt in utterances if not utt.is_few_shot]
    result: dict[str, Any] = {
        "num_utts": len(utterances),
        "num_utts_normal": len(normal),
        "num_utts_few_shot": len(few_shot),
        "intervals": {},
    }
    if task != "lid":
        groups = {"cer": utterances, "cer_normal": normal, "cer_few_shot": few_shot}
        add_error_rates(result, groups, seed)
    if task in ("lid", "joint"):
        groups = {
            "lid": normal,
            "lid_in_domain": [utt for utt in normal if not utt.is_unseen_voice],
            "lid_unseen_voice": [utt for utt in normal if utt.is_unseen_voice],
        }
        add_accuracies(result, groups, seed)
    if task != "mono":
        add_challenge(result, utterances, task, seed)
    return result


def dialect_metrics(utterances: list[ScoredUtterance], task: str, seed: int) -> dict[str, Any]:
    """The challenge's metrics of a split of dialects and accents."""
    result: dict[str, Any] = {"num_utts": len(utterances), "intervals": {}}
    add_challenge(result, utterances, task, seed, prefix="dialect_")
    return result


def add_challenge(
    result: dict[str, Any], utterances: list[ScoredUtterance], task: str, seed: int,
    prefix: str = "",
) -> None:  # fmt: skip
    """ML-SUPERB 2.0's metrics beside the benchmark's."""
    found = challenge_metrics((utt.challenge for utt in utterances), task, seed, prefix)
    result["intervals"] |= found.pop("intervals")
    result |= found


def add_error_rates(
    result: dict[str, Any], groups: dict[str, list[ScoredUtterance]], seed: int
) -> None:
    """Pooled CER of each group, its macro average over languages, and tables by language."""
    for name, group in groups.items():
        by_language = by(group, lambda utt: utt.language)
        rates = [error_rate(part) for part in by_language.values()]
        result[name] = error_rate(group)
        result[f"{name}_macro"] = mean([rate for rate in rates if rate is not None])
        result[f"{name}_sclite"] = percent(
            sum(utt.errors.sclite_edits for utt in group),
            sum(utt.errors.characters for utt in group),
        )
        parts = {language: edits_and_characters(part) for language, part in by_language.items()}
        add_intervals(result, name, edits_and_characters(group), parts, seed)
    result["cer_by_language"] = cer_table(by(groups["cer"], lambda utt: utt.language))
    result["cer_by_corpus"] = cer_table(by(groups["cer"], lambda utt: utt.corpus))


def add_accuracies(
    result: dict[str, Any], groups: dict[str, list[ScoredUtterance]], seed: int
) -> None:
    """Accuracy of each group, a table by language and the confusion counts of each group."""
    for name, group in groups.items():
        by_language = by(group, lambda utt: utt.language)
        result[name] = accuracy(group)
        result[f"{name}_macro"] = mean([accuracy(part) for part in by_language.values()])
        parts = {language: rights_and_ones(part) for language, part in by_language.items()}
        add_intervals(result, name, rights_and_ones(group), parts, seed)
    result["lid_by_language"] = {
        language: {"accuracy": accuracy(part), "num_utts": len(part)}
        for language, part in by(groups["lid"], lambda utt: utt.language).items()
    }
    result["lid_confusion"] = {name: confusion(group) for name, group in groups.items() if group}


Counts = tuple[np.ndarray, np.ndarray]  # (N,) numerators and (N,) denominators


def add_intervals(
    result: dict[str, Any], name: str, pooled: Counts, parts: dict[str, Counts], seed: int
) -> None:
    """The intervals of a pooled figure and of its mean over languages."""
    result["intervals"][name] = ratio_interval(*pooled, rng_for(seed, "bootstrap", name))
    drawn = language_ratios(parts.values(), rng_for(seed, "bootstrap", name, "macro"))
    result["intervals"][f"{name}_macro"] = language_interval(drawn, mean_of_languages)


def edits_and_characters(utterances: list[ScoredUtterance]) -> Counts:
    """(N,) edits and (N,) reference characters."""
    edits = [utt.errors.edits for utt in utterances]
    return np.array(edits, float), np.array([utt.errors.characters for utt in utterances], float)


def rights_and_ones(utterances: list[ScoredUtterance]) -> Counts:
    """(N,) whether the language was named, and (N,) ones."""
    right = np.array([utt.is_right for utt in utterances], float)
    return right, np.ones_like(right)


def confusion(utterances: Iterable[ScoredUtterance]) -> dict[str, dict[str, int]]:
    """``{reference language: {guessed language: utterances}}``."""
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for utt in utterances:
        table[utt.language][utt.guess or NO_LANGUAGE] += 1
    return {language: dict(sorted(row.items())) for language, row in sorted(table.items())}


def cer_table(parts: dict[str, list[ScoredUtterance]]) -> dict[str, dict[str, Any]]:
    """CER, edits, characters and utterances of each part."""
    return {
        name: {
            "cer": error_rate(part),
            "edits": sum(utt.errors.edits for utt in part),
            "sclite_edits": sum(utt.errors.sclite_edits for utt in part),
            "characters": sum(utt.errors.characters for utt in part),
            "num_utts": len(part),
            "is_few_shot": all(utt.is_few_shot for utt in part),
        }
        for name, part in parts.items()
    }


def by(
    utterances: Iterable[ScoredUtterance], key: Callable[[ScoredUtterance], str]
) -> dict[str, list[ScoredUtterance]]:
    """The utterances grouped by ``key``, sorted by its value."""
    groups: dict[str, list[ScoredUtterance]] = defaultdict(list)
    for utt in utterances:
        groups[key(utt)].append(utt)
    return dict(sorted(groups.items()))


def error_rate(utterances: Iterable[ScoredUtterance]) -> float | None:
    """Pooled CER in percent: all edits over all reference characters; None without characters."""
    utterances = list(utterances)
    return percent(
        sum(utt.errors.edits for utt in utterances),
        sum(utt.errors.characters for utt in utterances),
    )


def accuracy(utterances: list[ScoredUtterance]) -> float | None:
    """Share of utterances whose language was named, in percent; None of nothing."""
    return percent(sum(utt.is_right for utt in utterances), len(utterances))


def percent(part: float, whole: float) -> float | None:
    """``100 * part / whole``, rounded so that it prints the same everywhere; None for 0 of 0."""
    return round(100 * float(part) / float(whole), 4) if whole else None


def mean(values: list[float]) -> float | None:
    """The mean, None of nothing."""
    return round(sum(values) / len(values), 4) if values else None
