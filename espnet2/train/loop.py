"""The training loop: any model, any number of ranks, steps instead of epochs.

A model's ``forward(**batch)`` returns a ``LossOutput`` (a sum and the units it was summed over).
The gradient of a step is the sum over micro-batches and ranks divided by the units of all of them,
so it does not depend on how a batch is cut. Everything random is a function of seed and step: the
step is all that a resumed run has to know.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from espnet2.train.config import TrainConfig
from espnet2.train.distributed import World
from espnet2.train.reporter import Reporter
from espnet2.train.signals import StopSignal
from espnet2.train.state import Snapshots
from espnet2.train.trainer import Batch, Trainer, autocast, on_device
from espnet2.train.validation import validate


class Batches(Protocol):
    """A function from step to this rank's part of the batch."""

    def loader(self, start: int, stop: int, num_workers: int) -> Iterable[list[Batch]]:
        """Micro-batches of steps ``start`` to ``stop``, in order."""


def train(
    model: nn.Module,
    batches: Batches,
    config: TrainConfig,
    exp_dir: Path,
    world: World,
    *,
    seed: int = 0,
    settings: dict[str, Any] | None = None,
    valid: Batches | None = None,
    constants: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Train until ``config.max_steps`` or a stop signal, from where ``exp_dir`` stands.

    Args:
        settings: the run's whole configuration as plain data; a differing one is refused later.
        valid: validation batches; the first ``config.valid_batches`` are used.
        constants: figures to write beside every validation, e.g. the share of the majority class.

    Returns:
        The summary, also written to ``summary.json`` when the run is complete.

    Raises:
        ConfigError: ``exp_dir`` was begun with other settings.
        TrainingError: no step of a whole interval had a finite gradient.
    """
    trainer = Trainer(model.to(world.device), config, world, seed)
    snapshots = Snapshots(exp_dir, trainer, settings or {})
    snapshots.resume()
    reporter = Reporter(exp_dir, config, world, trainer.step, constants or {})
    with StopSignal() as stop:
        steps = batches.loader(trainer.step, config.max_steps, config.num_workers)
        for micro_batches in reporter.clock.waiting(steps):
            trainer.update(micro_batches, reporter)
            reporter.report_if_due(trainer.step)
            validate_if_due(trainer, valid, reporter)
            is_stopped = trainer.all_agree_to_stop(stop)
            snapshots.save_if_due(force=is_stopped)
            if is_stopped:
                break
    return reporter.finish(trainer.step)


def validate_if_due(trainer: Trainer, valid: Batches | None, reporter: Reporter) -> None:
    """Validate at the interval and after the last step; an interval of 0 never does."""
    config, step, interval = trainer.config, trainer.step, trainer.config.valid_interval_steps
    if valid is None or not interval or (step % interval and step != config.max_steps):
        return
    with reporter.clock.paused(), autocast(trainer.world.device, trainer.dtype):
        steps = valid.loader(0, config.valid_batches, 0)
        moved = ([on_device(b, trainer.world.device) for b in batches] for batches in steps)
        reporter.report_validation(step, validate(trainer.model, moved, trainer.world))
