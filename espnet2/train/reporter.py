"""Turns a run's meters into rows, progress lines, curves and the final summary."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.nn.loss_output import LossOutput
from espnet2.train.config import TrainConfig
from espnet2.train.distributed import World
from espnet2.train.metrics import Clock, Meters, MetricsFile, progress_line, read_metrics
from espnet2.train.plots import draw_curves
from espnet2.utils.files import write_json
from espnet2.utils.logs import log
from espnet2.utils.provenance import provenance


class Reporter:
    """Collects on every rank; rank 0 writes."""

    def __init__(
        self,
        exp_dir: Path,
        config: TrainConfig,
        world: World,
        resumed_step: int,
        constants: dict[str, float],
        *,
        flops: Callable[[dict[str, Any]], float] | None = None,
        languages: Sequence[str] = (),
    ) -> None:
        """``flops``: operations of training on a batch (``ssl.flops.training_flops``), from its
        lengths on the host. ``languages``: name of each code in ``batch["languages"]``.
        """
        self.flops, self.languages, self.step = flops, languages, resumed_step
        self.exp_dir, self.config, self.world, self.constants = exp_dir, config, world, constants
        self.meters, self.clock, self.learning_rate = Meters(), Clock(), 0.0
        self.metrics = exp_dir / "metrics.jsonl"
        self.sinks = []
        if world.is_first:
            self.sinks.append(MetricsFile(self.metrics, resumed_step))
        if world.is_first and config.use_tensorboard:
            # By name: TensorBoard takes a second to import and most runs do without.
            module = importlib.import_module("espnet2.train.tensorboard")
            self.sinks.append(module.EventFile(exp_dir / "tensorboard", resumed_step))

    def add(self, output: LossOutput, batch: dict[str, Any]) -> None:
        """Note one micro-batch; its lengths lie on the host, so reading them costs nothing."""
        add_output(self.meters, output)
        if "speech_lengths" in batch:
            samples = int(batch["speech_lengths"].sum())
            self.clock.audio_s += samples * self.world.size / SAMPLE_RATE_HZ

    def add_step(self, norm: Tensor, skipped: Tensor, learning_rate: float) -> None:
        """Note one step of the optimiser."""
        self.meters.add("grad_norm", norm, 1 - skipped)
        self.meters.add("skipped", skipped, skipped.new_ones(()))
        self.learning_rate = learning_rate
        self.step += 1
        self.clock.steps += 1

    def report_if_due(self, step: int, force: bool = False) -> dict[str, Any] | None:
        """Write a row and a line at the intervals of log and checkpoints, after the last step and
        when asked to; returns the row, on every rank.
        """
        if not force and step % self.config.log_interval_steps and step != self.config.max_steps:
            return None
        row = {"split": "train", "step": step, "lr": self.learning_rate}
        row |= self.meters.read(self.world) | self.clock.read()
        self.write(row, progress_line(row, self.config.max_steps))
        return row

    def report_validation(self, step: int, ratios: dict[str, float]) -> dict[str, Any]:
        """Write a row of validation and refresh the curves."""
        row = {"split": "valid", "step": step} | ratios | self.constants
        if row.get("majority_share") and "masked_acc" in row:
            row["times_majority"] = row["masked_acc"] / row["majority_share"]
        shares = [f"{name} {100 * row[name]:.1f} %" for name in sorted(row) if is_share(name)]
        self.write(row, "  ".join([f"valid at step {step}", f"loss {row['loss']:.3f}", *shares]))
        if self.world.is_first:
            draw_curves(self.metrics, self.exp_dir / "plots")
        return row

    def rewind(self, step: int) -> None:
        """Forget what came after ``step``: training went back to it."""
        self.meters, self.step = Meters(), step
        if self.world.is_first:
            self.sinks[0] = MetricsFile(self.metrics, step)

    def say(self, line: str) -> None:
        """A line to the terminal and to ``train.log``; only rank 0's."""
        if self.world.is_first:
            log(line)
            with open(self.exp_dir / "train.log", "a", encoding="utf-8") as file:
                file.write(line + "\n")

    def alarm(self, text: str) -> None:
        """Something that a person should look at: a line, and a row of ``alarms.tsv``."""
        self.say(f"ALARM at step {self.step}: {text}")

    def write(self, row: dict[str, Any], line: str) -> None:
        """One row to the files, one line to the terminal and ``train.log``."""
        if not self.world.is_first:
            return
        for sink in self.sinks:
            sink.add(row)
        self.say(line)

    def finish(self, step: int) -> dict[str, Any]:
        """The summary: last rows, mean speed; written once the run is complete."""
        rows = read_metrics(self.metrics) if self.world.is_first else []
        train = [row for row in rows if row["split"] == "train"]
        valid = [row for row in rows if row["split"] == "valid"]
        summary = {
            "step": step,
            "is_complete": step >= self.config.max_steps,
            "ranks": self.world.size,
            "train": train[-1] if train else {},
            "valid": valid[-1] if valid else {},
        }
        if self.world.is_first and summary["is_complete"]:
            draw_curves(self.metrics, self.exp_dir / "plots")
            write_json(self.exp_dir / "provenance.json", provenance())
            write_json(self.exp_dir / "summary.json", summary)
        return summary


def add_output(meters: Meters, output: LossOutput) -> None:
    """Add a model's loss and counts; a loss that is not finite counts as nothing."""
    is_finite = output.loss_sum.isfinite()
    meters.add("loss", output.loss_sum.where(is_finite, 0.0), output.weight * is_finite)
    for name, (numerator, denominator) in output.counts.items():
        meters.add(name, numerator, denominator)


def is_share(name: str) -> bool:
    """Whether a figure is a share to print in per cent."""
    return name.endswith(("acc", "_share"))
