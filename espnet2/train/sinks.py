"""Where rows of metrics go."""

import importlib
from pathlib import Path
from typing import Any, Protocol

from espnet2.train.config import TrainConfig
from espnet2.train.metrics import MetricsFile


class Sink(Protocol):
    """A place that takes rows."""

    def add(self, row: dict[str, Any]) -> None:
        """Take one row: ``split``, ``step`` and figures by name."""

    def rewind(self, step: int) -> None:
        """Forget the rows after ``step``: the run went back to it."""

    def close(self) -> None:
        """No more rows will come."""


def open_sinks(exp_dir: Path, config: TrainConfig, resumed_step: int) -> list[Sink]:
    """``metrics.jsonl`` and what the configuration asks for.

    Raises:
        ConfigError: wandb is asked for and cannot begin.
    """
    sinks: list[Sink] = [MetricsFile(exp_dir / "metrics.jsonl", resumed_step)]
    # By name: both take a second or more to import, and most runs do without.
    if config.use_tensorboard:
        module = importlib.import_module("espnet2.train.tensorboard")
        sinks.append(module.EventFile(exp_dir / "tensorboard", resumed_step))
    if config.use_wandb:
        module = importlib.import_module("espnet2.train.wandb_run")
        sinks.append(module.WandbRun(exp_dir, config.wandb_project))
    return sinks
