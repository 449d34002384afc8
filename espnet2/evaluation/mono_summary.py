"""The monolingual row: mean over the configurations of a language, then over languages.

A configuration is a corpus of a language that a probe is trained on; it is tested on every corpus
of the language. Its learning rate is chosen on its own dev set (arXiv 2305.10615).
"""

import statistics
from collections import defaultdict
from collections.abc import Mapping
from itertools import chain
from typing import Any

from espnet2.asr.config import mono_parts

Summary = dict[str, Any]
METRIC, DEV_METRIC = "mono_cer", "cer"


def mono_row(
    configurations: Mapping[str, Summary], dev: Mapping[str, Mapping[str, float | None]],
    missing: list[str],
) -> Summary:  # fmt: skip
    """The row of one encoder and track.

    Args:
        configurations: task (mono-eng-mls) -> its own summary row.
        dev: task -> learning rate -> mean dev CER.
        missing: tasks of the recipe without any score.
    """
    first = next(iter(configurations.values()))
    units = {mono_parts(task)[0]: row["units"] for task, row in configurations.items()}
    seeds = [row["seeds"] for row in configurations.values()]
    rates = {rate for of_task in dev.values() for rate in of_task}
    return {
        "encoder": first["encoder"],
        "task": "mono",
        "track": first["track"],
        "lr": {task: row["lr"] for task, row in configurations.items()},
        "lr_chosen_on": f"dev {DEV_METRIC}",
        "lr_dev": {rate: dev_at(dev, rate) for rate in sorted(rates, key=float)},
        "seeds": shared_seeds(configurations) or sorted({*chain(*seeds)}),
        "num_utts": utterances_of(configurations),
        "units": {
            name: sorted(language for language, unit in units.items() if unit == name)
            for name in sorted(set(units.values()))
        },
        "normalisation": first["normalisation"],
        "configurations": {task: facts(row) for task, row in configurations.items()},
        "missing": sorted(missing),
        "test": {METRIC: mono_summary(configurations)},
        "corrupted": {
            name: {METRIC: mono_summary(configurations, name)} for name in first["corrupted"]
        },
    }


def facts(row: Summary) -> Summary:
    """What the monolingual row keeps of a configuration."""
    return {name: row[name] for name in ("lr", "lr_dev", "seeds", "num_utts", "units", "test")}


def mono_summary(configurations: Mapping[str, Summary], corrupted: str | None = None) -> Summary:
    """Mean over configurations and languages, of each seed that all configurations have.

    Where no seed is shared, since cells failed, the one value is of the configurations' means. The
    interval takes the configurations of a language, which share their test utterances, as
    moving together and languages as independent of each other.
    """
    tests = {
        task: (row["corrupted"][corrupted] if corrupted else row["test"])["cer"]
        for task, row in configurations.items()
    }
    means = {task: test["mean"] for task, test in tests.items()}
    values = [
        mean_of_languages(
            {
                task: tests[task]["values"][row["seeds"].index(seed)]
                for task, row in configurations.items()
            }
        )
        for seed in shared_seeds(configurations)
    ] or [mean_of_languages(means)]
    by_language = parts_by_language(means)
    return {
        **spread(values),
        "interval": interval(tests, values[0]),
        "by_language": {
            language: round(statistics.fmean(rates), 4)
            for language, rates in sorted(by_language.items())
        },
    }


def spread(values: list[float]) -> Summary:
    """Mean and spread of one figure over seeds; None of what one seed cannot say."""
    several = len(values) > 1
    return {
        "mean": round(statistics.fmean(values), 4),
        "sd": round(statistics.stdev(values), 4) if several else None,
        "spread": round(max(values) - min(values), 4) if several else None,
        "values": [round(value, 4) for value in values],
    }


def interval(tests: Mapping[str, Summary], middle: float) -> list[float] | None:
    """95 % interval of the mean, from those of the configurations' first seeds."""
    if any(test["interval"] is None for test in tests.values()):
        return None
    halves = {task: (test["interval"][1] - test["interval"][0]) / 2 for task, test in tests.items()}
    by_language = parts_by_language(halves)
    half = sum(statistics.fmean(of) ** 2 for of in by_language.values()) ** 0.5 / len(by_language)
    return [round(middle - half, 3), round(middle + half, 3)]


def mean_of_languages(rates: Mapping[str, float]) -> float:
    """``{mono-eng-mls: 20.0, ...}`` averaged over a language's configurations, then languages."""
    return statistics.fmean(statistics.fmean(of) for of in parts_by_language(rates).values())


def parts_by_language(values: Mapping[str, float]) -> dict[str, list[float]]:
    """The values of each language's configurations."""
    found = defaultdict(list)
    for task, value in values.items():
        found[mono_parts(task)[0]].append(value)
    return found


def dev_at(dev: Mapping[str, Mapping[str, float | None]], rate: str) -> float | None:
    """Mean dev CER at one learning rate, where every configuration has one."""
    rates = {task: of_task.get(rate) for task, of_task in dev.items()}
    return None if None in rates.values() else round(mean_of_languages(rates), 4)


def shared_seeds(configurations: Mapping[str, Summary]) -> list[int]:
    """The seeds that every configuration has."""
    return sorted(set.intersection(*(set(row["seeds"]) for row in configurations.values())))


def utterances_of(configurations: Mapping[str, Summary]) -> int:
    """Test utterances of all languages; configurations of a language share theirs."""
    of_language = {mono_parts(task)[0]: row["num_utts"] for task, row in configurations.items()}
    return sum(of_language.values())
