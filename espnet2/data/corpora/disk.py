"""Corpora that stand on this machine's disk: one function prepares one of them."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet2.data.corpora import folder, hf_parquet, kaldi, lhotse, manual, ml_superb
from espnet2.data.corpora.corpus_folder import Drops, write_corpus
from espnet2.data.corpora.kinds import KINDS, OnDisk
from espnet2.data.corpora.language_codes import Languages
from espnet2.data.corpora.superb_tree import new_folder
from espnet2.data.kaldi import Utterance
from espnet2.utils.config import from_dict
from espnet2.utils.errors import DataError
from espnet2.utils.logs import log

MAX_LANGUAGES_NAMED = 12


@dataclass(frozen=True, kw_only=True)
class Job:
    """One corpus, and where it goes."""

    corpus: str
    spec: dict[str, Any]  # of the dataclass its kind names, ``path`` filled in
    data: Path  # Kaldi directories
    allow_pipes: bool  # may commands give audio


def prepare(job: Job) -> dict[str, object]:
    """Write ``data/<corpus>``; returns its counts. Raises DataError or ConfigError."""
    spec = from_dict(KINDS[job.spec["kind"]], job.spec, f"corpora.{job.corpus}")
    languages, work = Languages(spec), job.data / f".{job.corpus}.work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        with new_folder(job.data / job.corpus) as part:
            drops = Drops(part / ".dropped", job.corpus if spec.prefix_ids else None)
            read = utterances(spec, job, languages, drops, work)
            counts = write_corpus(part, job.corpus, spec, read, languages, drops)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say(job.corpus, spec, counts, languages, drops)
    return {"corpus": job.corpus, **counts}


def utterances(
    spec: OnDisk, job: Job, languages: Languages, drops: Drops, work: Path
) -> Iterator[Utterance]:
    """The utterances of a corpus of any kind, in any order."""
    common = (spec, languages, drops)
    match spec.kind:
        case "hf_parquet":
            return hf_parquet.utterances(*common)
        case "folder":
            return folder.utterances(*common)
        case "ml_superb":
            return ml_superb.utterances(*common)
        case "kaldi":
            return kaldi.utterances(*common, job.allow_pipes)
        case "manual":
            return manual.utterances(*common, job.allow_pipes)
    return lhotse.utterances(*common, job.allow_pipes, work)


def say(
    corpus: str, spec: OnDisk, counts: dict[str, Any], languages: Languages, drops: Drops
) -> None:
    """The log's lines about a corpus."""
    paper = f" ({spec.hours:g} h in the paper)" if spec.hours is not None else ""
    log(
        f"{corpus}: {counts['utterances']} recordings and segments, {counts['languages']} "
        f"languages{paper}; dropped: {drops}"
    )
    if counts["repeated_ids"]:
        log(f"{corpus}: {counts['repeated_ids']} repeated ids got a number")
    if languages.unknown:
        first = ", ".join(code for code, _ in languages.unknown.most_common(MAX_LANGUAGES_NAMED))
        log(
            f"{corpus}: {languages.unknown.total()} of {len(languages.unknown)} languages that ISO "
            f"639-3 does not know became {spec.unknown_language}: {first}; all in corpus.json"
        )


def refuse_missing(corpora: dict[str, OnDisk]) -> None:
    """Raise DataError naming every corpus that is not on this machine, and what to put where."""
    missing = {name: spec for name, spec in corpora.items() if not is_there(spec)}
    if not missing:
        return
    lines = [f"{len(missing)} of {len(corpora)} corpora are not on this machine:"]
    for name, spec in missing.items():
        what = spec.place or f"get it from {spec.source or 'its owner'}"
        absent = f"no wav.scp in {spec.path}" if spec.kind == "kaldi" else f"nothing at {spec.path}"
        lines.append(f"  {name}: {absent}: {what}")
    present = " ".join(name for name in corpora if name not in missing)
    lines.append(f"those that are there run with --only '{present}'" if present else
                 "choose some of them with --only 'name name'")  # fmt: skip
    raise DataError("\n".join(lines))


def is_there(spec: OnDisk) -> bool:
    """Whether something stands at the corpus's path."""
    if spec.kind == "kaldi":
        return (spec.path / "wav.scp").is_file()
    return spec.path.is_dir() and next(spec.path.iterdir(), None) is not None
