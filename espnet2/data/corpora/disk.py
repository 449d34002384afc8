"""Corpora that stand on this machine's disk: one function prepares one of them."""

import re
import shlex
import shutil
from collections import Counter
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
from espnet2.utils.files import read_json
from espnet2.utils.words import counted

MAX_LANGUAGES_NAMED = 12
HUGGING_FACE = re.compile(r"[\w-]+/[\w.-]+")


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


def summary(job: dict[str, Any], counts: dict[str, Any]) -> list[str]:
    """The lines about a corpus that people read; ``counts`` are what :func:`prepare` returned."""
    corpus = job["corpus"]
    about = read_json(Path(job["data"]) / corpus / "corpus.json")
    dropped = ", ".join(f"{reason} {count}" for reason, count in counts["dropped"].items())
    hours = about["paper_hours"]
    paper = f" ({hours:g} h in the paper)" if hours is not None else ""
    languages = counted(counts["languages"], "language")
    lines = [
        f"{corpus}: {counts['utterances']} recordings and segments, {languages}{paper}; "
        f"dropped: {dropped or 'none'}"
    ]
    without_language = counts.get("without_language", 0)  # a corpus made before it was counted
    if without_language and job["spec"]["language"] is None:
        lines.append(
            f"{corpus}: {without_language} utterances have no language and became und; "
            "give language: in corpora.yaml, or a utt2lang"
        )
    if counts["repeated_ids"]:
        lines.append(f"{corpus}: {counts['repeated_ids']} repeated ids got a digest behind them")
    if about["unknown_languages"]:
        codes = Counter(about["unknown_languages"])
        first = ", ".join(code for code, _ in codes.most_common(MAX_LANGUAGES_NAMED))
        lines.append(
            f"{corpus}: {codes.total()} utterances of {len(codes)} languages that ISO 639-3 does "
            f"not know became {job['spec']['unknown_language']}: {first}; all in corpus.json"
        )
    return lines


def refuse_missing(corpora: dict[str, OnDisk]) -> None:
    """Raise DataError naming every corpus that is not on this machine, and what to put where."""
    missing = {name: spec for name, spec in corpora.items() if not is_there(spec)}
    if not missing:
        return
    how_many = f"{len(missing)} of {len(corpora)} corpora are"
    lines = [f"{how_many} not on this machine (paths from {Path.cwd()}):"]
    for name, spec in missing.items():
        absent = f"no wav.scp in {spec.path}" if spec.kind == "kaldi" else f"nothing at {spec.path}"
        lines.append(f"  {name}: {absent}: {spec.place or where_from(spec)}")
    present = " ".join(name for name in corpora if name not in missing)
    lines.append(
        f"those that are there run with --only '{present}'" if present
        else "none of them is there; what you have runs alone with --only 'name name'"
    )  # fmt: skip
    if len(corpora) == 1:  # nothing else could run
        lines.pop()
    raise DataError("\n".join(lines))


def where_from(spec: OnDisk) -> str:
    """Where a corpus is to be had; ``owner/name`` is a data set of Hugging Face."""
    if HUGGING_FACE.fullmatch(spec.source):
        if spec.kind == "hf_parquet":  # the download is what this kind reads
            place = shlex.quote(str(spec.path))
            return f"hf download --repo-type dataset {spec.source} --local-dir {place}"
        return f"get it from https://huggingface.co/datasets/{spec.source}"
    return f"get it from {spec.source}" if spec.source else "correct path: in corpora.yaml"


def is_there(spec: OnDisk) -> bool:
    """Whether something stands at the corpus's path."""
    if spec.kind == "kaldi":
        return (spec.path / "wav.scp").is_file()
    return spec.path.is_dir() and next(spec.path.iterdir(), None) is not None
