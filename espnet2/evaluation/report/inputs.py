"""What the report is made of: everything earlier stages wrote, read once, in plain data.

Only the scores are required. What else is missing stays empty, and the report says so.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from espnet2.evaluation.references import read_json_file
from espnet2.utils.config import load_yaml
from espnet2.utils.errors import DataError

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

    ssl_about: dict[str, Any] = field(default_factory=dict)
    """provenance.json of the pre-training run: its hardware."""

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
    """normal, few_shot -> languages of the benchmark's data."""

    corpora: dict[str, dict[str, Any]] = field(default_factory=dict)
    encoder_hours: dict[str, dict[str, float]] = field(default_factory=dict)
    """Encoder -> language -> hours it was pre-trained on, for encoders where they are known."""

    commands: list[str] = field(default_factory=list)
    """What was typed, from exp/commands.tsv: each command once, in the order of its last use."""

    conditions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Corrupted test (10min/test_noisy) -> the ranges of SNR and T60 in it."""


def read_inputs(
    exp: Path,
    dump: Path,
    ssl: Path,
    trained_here: tuple[str, ...] = (),
    hours_files: Mapping[str, Path] = MappingProxyType({}),
) -> ReportInputs:
    """Read every file that exists.

    trained_here: encoders that this recipe pre-trained, on the hours of dump/hours.json, but for
    those whose cells were given another export.
    hours_files: encoder -> table of the hours it was pre-trained on, for others.

    Raises:
        DataError: no scores, or a damaged file.
    """
    exp, dump, ssl = Path(exp), Path(dump), Path(ssl)
    scores = read_json_file(exp / "superb" / "scores.json")
    hours = read_json_file(dump / "hours.json", default={})
    return ReportInputs(
        scores=scores,
        pretraining=read_json_lines(ssl / "metrics.jsonl"),
        ssl_about=read_json_file(ssl / "provenance.json", default={}),
        ssl_config=load_yaml(ssl / "config.yaml") if (ssl / "config.yaml").is_file() else {},
        hours=hours,
        label_quality=label_quality(dump, ssl.name.removeprefix("ssl_")),
        export=read_json_file(ssl / "export" / "export.json", default={}),
        cell_curves={
            cell_name(cell): read_json_lines(exp / "superb" / cell_name(cell) / "metrics.jsonl")
            for cell in scores["cells"]
        },
        stage_times=read_stage_times(exp / "stage_times.tsv"),
        languages=read_json_file(dump / "superb" / "languages.json", default={}),
        corpora=read_json_file(dump / "superb" / "corpora.json", default={}),
        encoder_hours={
            **{
                name: trained_hours(hours)
                for name in trained_here
                if hours and not heard_elsewhere(name, scores, exp, ssl)
            },
            **{name: read_hours(path) for name, path in hours_files.items()},
        },
        commands=read_commands(exp / "commands.tsv"),
        conditions={
            f"{path.parent.parent.name}/{path.parent.name}": read_json_file(path)
            for path in condition_files(dump)
        },
    )


def heard_elsewhere(encoder: str, scores: dict[str, Any], exp: Path, ssl: Path) -> bool:
    """Whether a cell of the encoder was given another export (--export) than that of ``ssl``."""
    folders = [exp / "superb" / cell_name(c) for c in scores["cells"] if c["encoder"] == encoder]
    settings = [load_yaml(path) for f in folders if (path := f / "config.yaml").is_file()]
    exports = {Path(one["data"]["export"]).resolve() for one in settings}
    return bool(exports - {(ssl / "export").resolve()})


def trained_hours(hours: dict[str, Any]) -> dict[str, float]:
    """Language -> hours of the training set."""
    return {name: facts["hours"] for name, facts in hours["train"]["languages"].items()}


def read_hours(path: Path) -> dict[str, float]:
    """Language -> hours, of lines of an ISO 639-3 code, a tab and a number; # begins a comment.

    Raises:
        DataError: no such file, or a line that is not of this kind.
    """
    found: dict[str, float] = {}
    for number, line in enumerate(read_lines(Path(path)), start=1):
        fields = line.partition("#")[0].split()
        if not fields:
            continue
        try:
            language, hours = fields
            found[language] = float(hours)
        except ValueError:
            raise DataError(
                f"{path}:{number}: must be an ISO 639-3 code and hours, like 'eng 120.5'"
            ) from None
    return found


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that the configuration names."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise DataError(f"{path}: cannot be read; report.hours names it") from None


def read_commands(path: Path) -> list[str]:
    """What was typed, each command once, in the order of its last use; none without the file."""
    if not path.is_file():
        return []
    lines = [line.split("\t", 1) for line in path.read_text(encoding="utf-8").splitlines()]
    typed = [fields[1] for fields in lines if len(fields) == 2]
    return list(dict.fromkeys(reversed(typed)))[::-1]


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
