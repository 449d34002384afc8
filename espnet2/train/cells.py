"""The matrix of downstream cells: (encoder, task, track, learning rate, seed). No torch in here."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from espnet2.asr.config import (
    TASKS,
    BatchConfig,
    EncoderSpec,
    FeatureConfig,
    ProbeConfig,
    TuneConfig,
    mono_task,
    task_kind,
)
from espnet2.data.superb import DIALECTS, FULL, CorruptConfig, SuperbDataConfig
from espnet2.train.config import TrainConfig, train_config
from espnet2.utils.config import differences, from_dict, load_yaml, merge, to_dict
from espnet2.utils.errors import ConfigError

TRACKS = ("10min", "1h", FULL)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # of a folder
OF = "of a-z, A-Z, 0-9 and, behind the first, _ . -"
OVERRIDABLE = ("probe", "tune", "batches", "training")
MONOLINGUAL = (
    "eng/mls", "eng/nchlt", "eng/voxpopuli", "fra/voxforge", "fra/voxpopuli", "deu/swc",
    "deu/voxpopuli", "rus/M-AILABS", "swa/ALFFA", "swe/NST", "jpn/commonvoice", "cmn/fleurs",
    "xty/mexico-el",
)  # fmt: skip
"""The benchmark's monolingual configurations (arXiv 2305.10615): language and training corpus."""


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Section ``finetune`` of a recipe: stages 10 and 11."""

    encoders: dict[str, EncoderSpec]
    """Encoders by the name of their folder below exp/superb."""

    only_encoders: list[str] = field(default_factory=list)
    """Of these encoders the ones to run; empty: all. The driver's --encoders."""

    tracks: list[str] = field(default_factory=lambda: ["10min"])
    """Training lists: 10min, 1h. Development and test lists are the 10-minute ones. Data of
    another kind (``data.kind``) has one track, full."""

    tasks: list[str] = field(default_factory=lambda: list(TASKS))
    """multi: TEXT, lid: [iso], joint: [iso] TEXT, all of them in every language at once; mono: TEXT
    of one language, a cell for each of ``monolingual``."""

    monolingual: list[str] = field(default_factory=lambda: list(MONOLINGUAL))
    """Configurations of mono, <language>/<corpus>: trained and validated on that corpus of the
    language, tested on every corpus of the language."""

    learning_rates: list[float] = field(default_factory=lambda: [4e-5, 1e-4, 4e-4])
    """The XEUS authors' grid (arXiv 2407.00837); the one best on dev is reported."""

    seeds: list[int] = field(default_factory=lambda: [1])
    """Seeds of the probe's weights, batches and SpecAugment."""

    corpora: dict[str, list[str]] = field(default_factory=dict)
    """Corpora of a task, in every split; a task that is not named uses all. Not of mono."""

    data: SuperbDataConfig = field(default_factory=SuperbDataConfig)

    corrupted: dict[str, CorruptConfig] = field(default_factory=dict)
    """Further test splits by name: the test split in noise and in rooms. Every cell is scored on
    them; nothing is trained or chosen on them."""

    features: FeatureConfig = field(default_factory=FeatureConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)
    batches: BatchConfig = field(default_factory=BatchConfig)

    training: dict[str, Any] = field(default_factory=dict)
    """Keys of the training loop (``TrainConfig``); the learning rate comes from the matrix."""

    average_best: int = 5
    """Checkpoints of lowest development loss to average."""

    units: Literal["char", "bpe"] = "char"
    """Tokens: characters, or pieces of a sentencepiece model of the training transcripts. Phones,
    where a monolingual cell has them, stay phones."""

    bpe_size: int = 500
    """Pieces of that model; it may have fewer where there is little text."""

    by_track: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What differs for a track: {1h: {training: {max_steps: 200}}}."""

    by_task: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What differs for a task, over ``by_track``: {mono: {training: {max_steps: 100}}}."""

    def __post_init__(self) -> None:
        problems = [
            *unknown_words(self), *unusable_names(self), *unusable_values(self), *odd_changes(self),
        ]  # fmt: skip
        if problems:
            raise ConfigError("finetune: " + "; ".join(problems))

    @property
    def used_encoders(self) -> dict[str, EncoderSpec]:
        """The encoders to run, by name."""
        only = self.only_encoders or self.encoders
        return {name: spec for name, spec in self.encoders.items() if name in only}

    @property
    def further_tests(self) -> tuple[str, ...]:
        """Test splits beside ``test``, of the data and corrupted: scored, never chosen on."""
        return (*self.data.further_tests, *self.corrupted)

    @property
    def cell_tasks(self) -> list[str]:
        """Tasks as cells spell them: mono once a configuration, ``mono-eng-mls``."""
        names = []
        for task in self.tasks:
            configurations = [name.split("/") for name in self.monolingual]
            names += [mono_task(*c) for c in configurations] if task == "mono" else [task]
        return names


def unknown_words(config: FinetuneConfig) -> Iterator[str]:
    """What is wrong with the tracks, tasks and encoders that are named."""
    for track in (*config.tracks, *config.by_track):
        if track not in TRACKS:
            yield f"track {track} is not one of {', '.join(TRACKS)}"
    for task in (*config.tasks, *config.corpora, *config.by_task):
        if task not in TASKS:
            yield f"task {task} is not one of {', '.join(TASKS)}"
    for name in config.only_encoders:
        if name not in config.encoders:
            yield f"only_encoders (--encoders): {name} is not one of {', '.join(config.encoders)}"
    if "mono" in config.corpora:
        yield "corpora of mono: name them in monolingual"


def unusable_names(config: FinetuneConfig) -> Iterator[str]:
    """Names of which no folder can be made that scoring finds again."""
    for name in config.encoders:
        if not NAME.fullmatch(name):
            yield f"encoders: {name!r} is to name a folder: {OF}"
    for name in config.monolingual:
        parts = name.split("/")
        if len(parts) != 2 or not all(map(NAME.fullmatch, parts)) or "-" in parts[0]:
            yield f"monolingual: {name!r} must be <language>/<corpus>, like eng/mls, {OF}"
    taken = (*config.data.splits, DIALECTS)  # score.json has a place of its own for dialects
    for name in config.corrupted:
        if name in taken or not re.fullmatch(r"[a-z0-9_]+", name):
            yield f"corrupted: {name!r} must be of a-z, 0-9 and _, and not {', '.join(taken)}"


def unusable_values(config: FinetuneConfig) -> Iterator[str]:
    """Lists that make no cells or one twice, and numbers too low."""
    required = ["encoders", "tracks", "tasks", "learning_rates", "seeds"]
    for name in [*required, *(["monolingual"] if "mono" in config.tasks else [])]:
        values = list(getattr(config, name))
        if not values or len(set(values)) != len(values):
            yield f"{name} must be given and hold nothing twice, got {values}"
    rates = [f"{rate:g}" for rate in config.learning_rates]
    if len(set(rates)) < len(set(config.learning_rates)):
        yield f"learning_rates must differ in six digits, got {config.learning_rates}"
    if any(seed < 0 for seed in config.seeds):
        yield f"seeds must be at least 0, got {config.seeds}"
    if config.average_best < 1:
        yield f"average_best must be at least 1, got {config.average_best}"


def odd_changes(config: FinetuneConfig) -> Iterator[str]:
    """What ``by_track`` and ``by_task`` cannot change, or not so."""
    for by in ("by_track", "by_task"):
        for name, changes in getattr(config, by).items():
            for key, value in sorted(changes.items()):
                if key not in OVERRIDABLE:
                    yield f"{by} may change {', '.join(OVERRIDABLE)}, not {key}"
                elif not isinstance(value, dict):
                    yield f"{by}.{name}.{key} must be a mapping, got {value!r}"


@dataclass(frozen=True, kw_only=True)
class CellConfig:
    """Everything about one cell but where its data lies."""

    encoder_name: str
    encoder: EncoderSpec
    task: str
    track: str
    learning_rate: float
    seed: int
    corpora: list[str]
    features: FeatureConfig
    probe: ProbeConfig
    tune: TuneConfig = field(default_factory=TuneConfig)
    batches: BatchConfig
    training: dict[str, Any]
    average_best: int
    units: Literal["char", "bpe"] = "char"
    bpe_size: int = 500

    def __post_init__(self) -> None:
        if self.encoder.kind == "fbank" and self.tune.encoder != "frozen":
            raise ConfigError(
                f"tune.encoder: {self.tune.encoder}: encoder {self.encoder_name} (fbank) has "
                "nothing that could learn; choose the others with --encoders"
            )

    @property
    def name(self) -> str:
        """The cell's folder below its encoder's."""
        return f"{self.task}_{self.track}_lr{self.learning_rate:g}_seed{self.seed}"


def finetune_config(section: dict[str, Any], where: str) -> FinetuneConfig:
    """The section of a recipe YAML, every cell's settings checked before any work.

    Raises:
        ConfigError: names what cannot be used.
    """
    config = from_dict(FinetuneConfig, section, f"{where}: finetune")
    for cell in cells(config):
        loop_config(cell, valid_batches=1)
    return config


def cells(config: FinetuneConfig) -> Iterator[CellConfig]:
    """Every cell of the matrix, the longest first: short ones fill the end."""
    pairs = itertools.product(config.tracks, config.cell_tasks)
    settings = {(track, task): settings_of(config, track, task) for track, task in pairs}
    grid = sorted(
        itertools.product(config.seeds, settings, config.learning_rates),
        key=lambda place: -steps_of(settings[place[1]]["training"]),
    )
    for (seed, (track, task), rate), name in itertools.product(grid, config.used_encoders):
        yield CellConfig(
            encoder_name=name, encoder=config.encoders[name], task=task, track=track,
            learning_rate=rate, seed=seed, corpora=config.corpora.get(task, []),
            features=config.features, average_best=config.average_best, units=config.units,
            bpe_size=config.bpe_size, **settings[track, task],
        )  # fmt: skip


def steps_of(training: dict[str, Any]) -> int:
    """Steps of a cell, 0 where its ``max_steps`` is no number: ``loop_config`` refuses it."""
    steps = training.get("max_steps")
    return steps if isinstance(steps, int) else 0


def settings_of(config: FinetuneConfig, track: str, task: str) -> dict[str, Any]:
    """Probe, tuning, batches and training of a cell, with what ``by_track`` and ``by_task`` say."""
    kind = task_kind(task)
    where = f"finetune of {kind} {track}"
    changes = merge(config.by_track.get(track, {}), config.by_task.get(kind, {}))
    merged = {
        name: merge(to_dict(getattr(config, name)), changes.get(name, {})) for name in OVERRIDABLE
    }
    return {
        "probe": from_dict(ProbeConfig, merged["probe"], f"{where}: probe"),
        "tune": from_dict(TuneConfig, merged["tune"], f"{where}: tune"),
        "batches": from_dict(BatchConfig, merged["batches"], f"{where}: batches"),
        "training": merged["training"],
    }


def other_settings(folder: Path, cell: CellConfig) -> str:
    """The first setting in which a cell begun in ``folder`` is not as ``cell`` has it.

    ``training.max_steps is 6, not 8``; "" where there is none, or no cell was begun.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        return ""
    changes = differences(load_yaml(path).get("cell"), to_dict(cell))
    return "{} is {!r}, not {!r}".format(*changes[0]) if changes else ""


def loop_config(cell: CellConfig, valid_batches: int) -> TrainConfig:
    """The training loop's settings: the cell's, its learning rate, a copy a validation.

    Raises:
        ConfigError: no validation, so no checkpoints best on dev to average.
    """
    where = f"finetune.training of {cell.task} {cell.track}"
    data = merge(cell.training, {"optim_conf": {"lr": cell.learning_rate}})
    interval = data.setdefault("valid_interval_steps", TrainConfig.valid_interval_steps)
    if not interval:
        raise ConfigError(f"{where}: valid_interval_steps must be at least 1: dev picks the model")
    data["intermediate_interval_steps"] = interval
    data["keep_nbest_models"] = 0  # the best of these copies are averaged
    data["valid_batches"] = valid_batches
    return train_config(data, where)
