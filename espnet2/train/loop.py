"""The training loop: any model, any number of ranks, steps instead of epochs.

A model's ``forward(**batch)`` returns a ``LossOutput`` (a sum and the units it was summed over).
The gradient of a step is the sum over micro-batches and ranks divided by the units of all of them,
so it does not depend on how a batch is cut. Everything random is a function of seed and step: the
step (and how many batches were left out) is all that a resumed run has to know.
"""

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from espnet2.train.agreement import refuse_diverged
from espnet2.train.config import TrainConfig
from espnet2.train.distributed import World
from espnet2.train.guards import Guards
from espnet2.train.reporter import Reporter
from espnet2.train.signals import StopSignal
from espnet2.train.state import Snapshots
from espnet2.train.trainer import Batch, Batches, Trainer
from espnet2.train.validation import validate
from espnet2.train.watchdog import Watchdog
from espnet2.utils.errors import TrainingError


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
    flops: Callable[[Batch], float] | None = None,
    languages: Sequence[str] = (),
) -> dict[str, Any]:
    """Train until ``config.max_steps`` or a stop signal, from where ``exp_dir`` stands.

    Args:
        settings: the run's whole configuration as plain data; a differing one is refused later.
        valid: validation batches; the first ``config.valid_batches`` are used.
        constants: figures to write beside every validation, e.g. the share of the majority class.
        flops: operations of training on a batch, for the share of the hardware's peak.
        languages: names of the codes in ``batch["languages"]``.

    Returns:
        The summary, also written to ``summary.json`` when the run is complete.

    Raises:
        ConfigError: ``exp_dir`` was begun with other settings.
        TrainingError: training cannot usefully go on.
    """
    trainer = Trainer(model.to(world.device), config, world, seed)
    guards = Guards(exp_dir, config, world)
    with contextlib.closing(Snapshots(exp_dir, trainer, guards, settings or {})) as snapshots:
        snapshots.resume()
        guards.go_on_after(trainer.step + trainer.shift)
        reporter = Reporter(
            exp_dir, config, world, trainer.step, constants or {}, flops=flops, languages=languages
        )
        if world.size > 1:
            reporter.clock.exposed_s = trainer.parallel.exposed_s
        with StopSignal() as stop, Watchdog(world, config.watchdog_s) as watchdog:
            run = Run(trainer, batches, valid, snapshots, reporter, guards, stop, watchdog)
            run.to_the_end()
            watchdog.beat(f"writing the state of step {trainer.step}")
            snapshots.close()  # in here: a second signal must not break the writing off
    return reporter.finish(trainer.step)


@dataclass
class Run:
    """Everything that takes part in a run."""

    trainer: Trainer
    batches: Batches
    valid: Batches | None
    snapshots: Snapshots
    reporter: Reporter
    guards: Guards
    stop: StopSignal
    watchdog: Watchdog
    is_stopped: bool = False

    def to_the_end(self) -> None:
        """Stretch after stretch, until all steps are made or somebody asked to stop."""
        while self.trainer.step < self.trainer.config.max_steps and not self.is_stopped:
            if reason := self.stretch():
                self.roll_back(reason)

    def stretch(self) -> str:
        """Steps, one after the other; ends early with a reason to go back to the last checkpoint.

        A report comes before a checkpoint: what the guards object to is never saved.
        """
        trainer, reporter, shift = self.trainer, self.reporter, self.trainer.shift
        last = trainer.config.max_steps
        steps = self.batches.loader(trainer.step + shift, last + shift, trainer.config.num_workers)
        for micro_batches in reporter.clock.waiting(steps):
            self.watchdog.beat(f"in step {trainer.step + 1}")
            self.update(micro_batches)
            self.is_stopped = trainer.all_agree_to_stop(self.stop)
            is_saving = self.is_stopped or self.snapshots.is_due(trainer.step)
            row = reporter.report_if_due(trainer.step, force=is_saving)
            if row is not None and (reason := self.look(row)):
                return reason
            self.validate_if_due()
            if is_saving:
                self.watchdog.beat(f"saving the state of step {trainer.step}")
                self.snapshots.save(row, force=self.is_stopped)
            if self.is_stopped:
                break
            self.watchdog.beat(f"after step {trainer.step}, waiting for data")
        return ""

    def update(self, micro_batches: list[Batch]) -> None:
        """One step, and what it tells."""
        outcome = self.trainer.update(micro_batches)
        for output, batch in zip(outcome.outputs, micro_batches, strict=True):
            self.reporter.add(output, batch)
        self.reporter.add_step(outcome.norm, outcome.skipped, outcome.learning_rate)
        self.guards.note(self.trainer.step + self.trainer.shift, outcome, micro_batches)

    def look(self, row: dict[str, Any]) -> str:
        """What the guards say to a report: why to go back, or ""."""
        refuse_diverged(self.trainer.model, self.trainer.world, row["step"])
        alarms, reason = self.guards.look(row)
        for alarm in alarms:
            self.reporter.alarm(alarm)
        return reason

    def roll_back(self, reason: str) -> None:
        """Go back to the last checkpoint and leave out the batches since.

        Raises:
            TrainingError: it has been done ``max_rollbacks`` times, or there is no checkpoint.
        """
        trainer, step, shift = self.trainer, self.trainer.step, self.trainer.shift
        if trainer.rollbacks >= trainer.config.max_rollbacks:
            raise TrainingError(
                f"{self.reporter.exp_dir}: at step {step} {reason}, after {trainer.rollbacks} "
                "rollbacks; lower optim_conf.lr, or look for broken audio in skipped/"
            )
        self.snapshots.roll_back(reason)
        trainer.leave_out_batches_since(step, shift)
        self.reporter.rewind(trainer.step)
        self.guards.reset()
        self.reporter.alarm(
            f"at step {step} {reason}: back to step {trainer.step}, the batches since are left out"
        )

    def validate_if_due(self) -> None:
        """Validate at the interval and after the last step; an interval of 0 never does."""
        config, step = self.trainer.config, self.trainer.step
        interval = config.valid_interval_steps
        if self.valid is None or not interval or (step % interval and step != config.max_steps):
            return
        beat = functools.partial(self.watchdog.beat, f"validating at step {step}")
        with self.reporter.clock.paused():
            ratios = validate(self.trainer, self.valid, before_each=beat)
            row = self.reporter.report_validation(step, ratios)
        self.snapshots.keep_if_best(step, row)
