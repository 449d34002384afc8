"""The metrics of one split: CER and language identification, pooled, by language, by corpus.

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

from espnet2.evaluation.bootstrap import ratio_interval
from espnet2.evaluation.error_rate import ErrorCount, char_errors
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

    @property
    def is_right(self) -> bool:
        return self.guess == self.language


def score_utterance(reference: str, hypothesis: str, **facts: Any) -> ScoredUtterance:
    """Count the errors of one hypothesis; ``facts`` are the remaining fields."""
    return ScoredUtterance(
        errors=char_errors(reference, hypothesis), guess=first_language(hypothesis), **facts
    )


def split_metrics(utterances: list[ScoredUtterance], task: str, seed: int) -> dict[str, Any]:
    """Every metric ``task`` has, with bootstrap intervals; rates and accuracies in percent."""
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
    if task != "multi":
        groups = {
            "lid": normal,
            "lid_in_domain": [utt for utt in normal if not utt.is_unseen_voice],
            "lid_unseen_voice": [utt for utt in normal if utt.is_unseen_voice],
        }
        add_accuracies(result, groups, seed)
    return result


def add_error_rates(
    result: dict[str, Any], groups: dict[str, list[ScoredUtterance]], seed: int
) -> None:
    """Pooled CER of each group, its macro average over languages, and tables by language."""
    for name, group in groups.items():
        by_language = by(group, lambda utt: utt.language)
        rates = [error_rate(part) for part in by_language.values()]
        rates = [rate for rate in rates if rate is not None]
        result[name] = error_rate(group)
        result[f"{name}_macro"] = mean(rates)
        result["intervals"][name] = ratio_interval(
            np.array([utt.errors.edits for utt in group]),
            np.array([utt.errors.characters for utt in group]),
            rng_for(seed, "bootstrap", name),
        )
    result["cer_by_language"] = cer_table(by(groups["cer"], lambda utt: utt.language))
    result["cer_by_corpus"] = cer_table(by(groups["cer"], lambda utt: utt.corpus))


def add_accuracies(
    result: dict[str, Any], groups: dict[str, list[ScoredUtterance]], seed: int
) -> None:
    """Accuracy of each group, a table by language and the confusion counts of each group."""
    for name, group in groups.items():
        right = np.array([utt.is_right for utt in group], float)
        result[name] = percent(right.sum(), right.size)
        result["intervals"][name] = ratio_interval(
            right, np.ones_like(right), rng_for(seed, "bootstrap", name)
        )
    result["lid_by_language"] = {
        language: {
            "accuracy": percent(sum(utt.is_right for utt in part), len(part)),
            "num_utts": len(part),
        }
        for language, part in by(groups["lid"], lambda utt: utt.language).items()
    }
    result["lid_confusion"] = {name: confusion(group) for name, group in groups.items() if group}


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


def percent(part: float, whole: float) -> float | None:
    """``100 * part / whole``, rounded so that it prints the same everywhere; None for 0 of 0."""
    return round(100 * float(part) / float(whole), 4) if whole else None


def mean(values: list[float]) -> float | None:
    """The mean, None of nothing."""
    return round(sum(values) / len(values), 4) if values else None
