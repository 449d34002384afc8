"""What the report is made of: everything earlier stages wrote, read once, in plain data.

Only the scores are required. What else is missing stays empty, and the report says so.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espnet2.evaluation.references import read_json_file
from espnet2.utils.config import load_yaml

Rows = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class StageTime:
    """How long one stage took."""

    stage: int
    name: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """What the earlier stages left."""

    scores: dict[str, Any]
    """exp/superb/scores.json."""

    pretraining: Rows = field(default_factory=list)
    """metrics.jsonl of the pre-training run."""

    ssl_config: dict[str, Any] = field(default_factory=dict)
    hours: dict[str, Any] = field(default_factory=dict)
    """dump/hours.json."""

    label_quality: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Set (train, valid) -> the quality report of its labels."""

    export: dict[str, Any] = field(default_factory=dict)
    cell_curves: dict[str, Rows] = field(default_factory=dict)
    """Cell name -> its metrics.jsonl."""

    stage_times: list[StageTime] = field(default_factory=list)
    languages: dict[str, list[str]] = field(default_factory=dict)
    corpora: dict[str, dict[str, Any]] = field(default_factory=dict)
    conditions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Corrupted test (10min/test_noisy) -> the ranges of SNR and T60 in it."""


def read_inputs(exp: Path, dump: Path, ssl: Path) -> ReportInputs:
    """Read every file that exists.

    Raises:
        DataError: no scores, or a damaged file.
    """
    exp, dump, ssl = Path(exp), Path(dump), Path(ssl)
    scores = read_json_file(exp / "superb" / "scores.json")
    return ReportInputs(
        scores=scores,
        pretraining=read_json_lines(ssl / "metrics.jsonl"),
        ssl_config=load_yaml(ssl / "config.yaml") if (ssl / "config.yaml").is_file() else {},
        hours=read_json_file(dump / "hours.json", default={}),
        label_quality=label_quality(dump, ssl.name.removeprefix("ssl_")),
        export=read_json_file(ssl / "export" / "export.json", default={}),
        cell_curves={
            cell_name(cell): read_json_lines(exp / "superb" / cell_name(cell) / "metrics.jsonl")
            for cell in scores["cells"]
        },
        stage_times=read_stage_times(exp / "stage_times.tsv"),
        languages=read_json_file(dump / "superb" / "languages.json", default={}),
        corpora=read_json_file(dump / "superb" / "corpora.json", default={}),
        conditions={
            f"{path.parent.parent.name}/{path.parent.name}": read_json_file(path)
            for path in condition_files(dump)
        },
    )


def condition_files(dump: Path) -> list[Path]:
    """What the corrupted tests of stage 10 are heard in."""
    return sorted(Path(dump).glob("superb/*/*/conditions.json"))


def input_files(exp: Path, dump: Path, ssl: Path) -> list[Path]:
    """The small files whose content decides the report, those that exist; scores always."""
    tag = Path(ssl).name.removeprefix("ssl_")
    optional = [
        ssl / "metrics.jsonl",
        ssl / "config.yaml",
        ssl / "export" / "export.json",
        dump / "hours.json",
        dump / "superb" / "languages.json",
        dump / "superb" / "corpora.json",
        *(dump / name / "labels" / tag / "quality.json" for name in ("train", "valid")),
        *condition_files(dump),
    ]
    return [exp / "superb" / "scores.json", *(path for path in optional if path.is_file())]


def cell_name(cell: dict[str, Any]) -> str:
    """``encoder/task_track_lr_seed``, the cell's folder."""
    return "{encoder}/{task}_{track}_lr{lr}_seed{seed}".format(**cell)


def label_quality(dump: Path, tag: str) -> dict[str, dict[str, Any]]:
    """The quality report of each labelled set."""
    found = {}
    for name in ("train", "valid"):
        path = Path(dump) / name / "labels" / tag / "quality.json"
        if path.is_file():
            found[name] = read_json_file(path)
    return found


def read_json_lines(path: Path) -> Rows:
    """Rows of a metrics file; empty where there is none, a cut last line is left out."""
    if not Path(path).is_file():
        return []
    lines = Path(path).read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n") and line.strip()]


def read_stage_times(path: Path) -> list[StageTime]:
    """Stages in order; a stage run again counts with its longest time (a no-op run is short)."""
    if not Path(path).is_file():
        return []
    longest: dict[int, StageTime] = {}
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        fields = line.split("\t")
        if len(fields) != 3 or not fields[0].isdigit():
            continue  # a header, or a line cut by a crash
        time = StageTime(stage=int(fields[0]), name=fields[1], seconds=float(fields[2]))
        if time.stage not in longest or time.seconds > longest[time.stage].seconds:
            longest[time.stage] = time
    return [longest[stage] for stage in sorted(longest)]
