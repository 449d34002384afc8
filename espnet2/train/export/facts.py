"""What a run's own files tell about a model: all that its model card may say."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.index import Index
from espnet2.data.index.selection import Selection, tally
from espnet2.data.plan.plan import Plan
from espnet2.train.export.config import ExportConfig
from espnet2.utils.config import load_yaml
from espnet2.utils.files import read_json, sha256_file


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts about one exported run; what is empty or None is not known."""

    name: str
    """Of the experiment's folder."""

    trained: dict[str, Any]
    """Its config.yaml: the model's keys and the training's."""

    settings: ExportConfig
    """Of this export."""

    steps: list[int]
    """Of the checkpoints that were averaged."""

    parameters: int
    """Of the model."""

    command: str
    """That exported it."""

    summary: dict[str, Any] = field(default_factory=dict)
    """Last rows of training and validation (summary.json)."""

    provenance: dict[str, str] = field(default_factory=dict)
    """Where it was trained (provenance.json)."""

    hours: dict[str, Any] | None = None
    """Utterances and hours of the training set in all, by corpus and language (``Tally``)."""

    seconds_a_step: float | None = None
    """Most seconds of audio in one step, over all ranks."""

    steps_a_pass: float | None = None
    """Steps in which the training set is seen once."""

    corpora: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What stage 1 wrote down about a corpus (corpus.json), by name."""


def read_facts(
    exp: Path, dump: Path, data: Path | None, settings: ExportConfig, steps: list[int],
    parameters: int, command: str,
) -> Facts:  # fmt: skip
    """Collect them. Of a ``dump`` that was made anew since the training, nothing is told."""
    trained = load_yaml(exp / "config.yaml")
    plan = plan_of(dump / "train/plan", trained)
    return Facts(
        name=exp.name, trained=trained, settings=settings, steps=steps, parameters=parameters,
        command=command, summary=json_in(exp / "summary.json"),
        provenance=json_in(exp / "provenance.json"), hours=hours_of(dump / "train", trained),
        seconds_a_step=plan and max(b.batch * b.num_samples for b in plan.buckets) / SAMPLE_RATE_HZ,
        steps_a_pass=plan and plan.steps_per_pass,
        corpora={path.parent.name: read_json(path) for path in corpus_files(data)},
    )  # fmt: skip


def json_in(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing where there is none."""
    return read_json(path) if path.is_file() else {}


def corpus_files(data: Path | None) -> list[Path]:
    """Every ``corpus.json`` below ``data``."""
    return [] if data is None else sorted(data.glob("*/corpus.json"))


def hours_of(folder: Path, trained: dict[str, Any]) -> dict[str, Any] | None:
    """``Tally.summary`` of the index, if it is the one that the run was trained on."""
    if not (folder / "index.arrow").is_file():
        return None
    index = Index.open(folder)
    if index.fingerprint != (trained.get("labels") or {}).get("index_sha256"):
        return None
    return tally(index, Selection()).summary()


def plan_of(folder: Path, trained: dict[str, Any]) -> Plan | None:
    """The plan, if it is the one that the run was trained by."""
    path = folder / "plan.json"
    if not path.is_file() or sha256_file(path) != trained.get("plan"):
        return None
    return Plan.open(folder)
