"""Turns a run's meters into rows, progress lines, alarms, curves and the final summary."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.nn.loss_output import LossOutput
from espnet2.train.clock import Clock, over_ranks
from espnet2.train.config import TrainConfig
from espnet2.train.distributed import World
from espnet2.train.frame_meters import ClusterMeter, LanguageMeter
from espnet2.train.languages import LanguageFiles
from espnet2.train.metrics import Meters, append, read_metrics
from espnet2.train.plots import draw_curves, draw_languages
from espnet2.train.progress import progress_line, validation_line
from espnet2.train.sinks import open_sinks
from espnet2.utils.files import write_json
from espnet2.utils.logs import log
from espnet2.utils.provenance import provenance

REDRAW_S = 600.0  # curves are never older, while reports come


class Reporter:
    """Collects on every rank, and every rank gets the rows; rank 0 writes."""

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
        """``constants``: figures to write beside every validation. ``flops``: operations of
        training on a batch (``ssl.flops.training_flops``), from its lengths on the host.
        ``languages``: name of each code in ``batch["languages"]``.
        """
        self.exp_dir, self.config, self.world, self.constants = exp_dir, config, world, constants
        self.flops, self.step, self.learning_rate = flops, resumed_step, 0.0
        self.meters, self.clock = Meters(), Clock(world.device)
        self.clusters = ClusterMeter(world.device)
        self.language_names = list(languages)
        self.languages = LanguageMeter(len(languages), world.device)
        self.drawn_at, self.is_drawn = time.monotonic(), False
        if world.is_first:
            self.sinks = open_sinks(exp_dir, config, resumed_step)
            self.language_files = LanguageFiles(exp_dir, self.language_names, resumed_step)

    def add(self, output: LossOutput, batch: dict[str, Any]) -> None:
        """Note one micro-batch; its lengths lie on the host, so reading them costs nothing."""
        add_output(self.meters, output)
        if "speech_lengths" in batch:
            samples = int(batch["speech_lengths"].sum())
            self.clock.audio_s += samples * self.world.size / SAMPLE_RATE_HZ
            self.clock.flops += self.flops(batch) if self.flops else 0.0
        if output.frames is not None:
            self.clusters.add(output.frames)
            if "languages" in batch and self.language_names:
                self.languages.add(output.frames, batch["languages"])

    def add_step(self, norm: Tensor, skipped: Tensor, learning_rate: float) -> None:
        """Note one step of the optimiser."""
        self.meters.add("grad_norm", norm, 1 - skipped)
        self.meters.add("skipped", skipped, skipped.new_ones(()))
        self.learning_rate = learning_rate
        self.step += 1
        self.clock.steps += 1

    def report_if_due(self, step: int, force: bool = False) -> dict[str, Any] | None:
        """Write a row and a line at the interval, after the last step and when forced.

        ``force`` comes before every checkpoint: then the languages are written, too, so that all
        that was heard is either in a row or will be heard again. Returns the row, on every rank.
        """
        is_last = step == self.config.max_steps
        if not force and not is_last and step % self.config.log_interval_steps:
            return None
        row = {"split": "train", "step": step, "lr": self.learning_rate}
        row |= self.meters.read(self.world) | self.clusters.read(self.world)
        row |= over_ranks(self.clock.read(), self.world)
        self.write(row, progress_line(row, self.config.max_steps))
        if force or is_last:
            sums = self.languages.read(self.world)
            if sums and self.world.is_first:
                self.language_files.add(step, sums)
        self.draw_if_old()
        return row

    def report_validation(self, step: int, ratios: dict[str, float]) -> dict[str, Any]:
        """Write a row of validation and refresh the curves; returns the row, on every rank."""
        row = {"split": "valid", "step": step} | ratios | self.constants
        if row.get("majority_share") and "masked_acc" in row:
            row["times_majority"] = row["masked_acc"] / row["majority_share"]
        self.write(row, validation_line(row))
        self.draw()
        return row

    def rewind(self, step: int) -> None:
        """Forget what came after ``step``, because the run went back to it. Lines and alarms stay:
        they were true.
        """
        self.step, self.meters = step, Meters()
        self.clusters.clear()
        self.languages.clear()
        self.clock.read()  # and forget
        if self.world.is_first:
            for sink in (*self.sinks, self.language_files):
                sink.rewind(step)

    def write(self, row: dict[str, Any], line: str) -> None:
        """One row to the sinks, one line to people."""
        if self.world.is_first:
            for sink in self.sinks:
                sink.add(row)
        self.is_drawn = False
        self.say(line)

    def say(self, line: str) -> None:
        """A line to the terminal and to ``train.log``; only rank 0's."""
        if self.world.is_first:
            log(line)
            append(self.exp_dir / "train.log", f"{time.strftime('%F %T')} {line}\n")

    def alarm(self, text: str) -> None:
        """Something that a person should look at: a line, and a row of ``alarms.tsv``."""
        if self.world.is_first:
            text = " ".join(text.split())
            path = self.exp_dir / "alarms.tsv"
            if not path.is_file():
                append(path, "step\ttime\talarm\n")
            append(path, f"{self.step}\t{time.strftime('%F %T')}\t{text}\n")
            self.say(f"ALARM at step {self.step}: {text}")

    def draw_if_old(self) -> None:
        """Refresh the curves where rank 0 finds them too old."""
        if self.world.from_first(int(time.monotonic() - self.drawn_at > REDRAW_S)):
            self.draw()

    def draw(self) -> None:
        """Refresh pictures and the table of languages; all ranks wait, and no clock counts it."""
        with self.clock.paused():
            if self.world.is_first:
                draw_curves(self.exp_dir / "metrics.jsonl", self.exp_dir / "plots")
                if self.language_files.total:
                    table = self.language_files.write_table()
                    draw_languages(table, self.exp_dir / "plots" / "languages.png")
            self.world.from_first(0)  # the others wait here
        self.drawn_at, self.is_drawn = time.monotonic(), True

    def finish(self, step: int) -> dict[str, Any]:
        """The summary: last rows, number of alarms; written once the run is complete."""
        rows = read_metrics(self.exp_dir / "metrics.jsonl") if self.world.is_first else []
        alarms = self.exp_dir / "alarms.tsv"
        summary = {
            "step": step,
            "is_complete": step >= self.config.max_steps,
            "ranks": self.world.size,
            "alarms": len(alarms.read_text("utf-8").splitlines()) - 1 if alarms.is_file() else 0,
            **{split: last_row(rows, split) for split in ("train", "valid")},
        }
        if summary["is_complete"] and not self.is_drawn:
            self.draw()
        if self.world.is_first:
            for sink in self.sinks:
                sink.close()
            if summary["is_complete"]:
                write_json(self.exp_dir / "provenance.json", provenance())
                write_json(self.exp_dir / "summary.json", summary)
        return summary


def add_output(meters: Meters, output: LossOutput) -> None:
    """Add a model's loss and counts; a sum that is not finite counts as nothing."""
    sums = {"loss": (output.loss_sum, output.weight), **output.counts}
    for name, (numerator, denominator) in sums.items():
        is_finite = numerator.isfinite()
        meters.add(name, numerator.where(is_finite, 0), denominator * is_finite)


def last_row(rows: list[dict[str, Any]], split: str) -> dict[str, Any]:
    """The last row of a split; {} where there is none."""
    return next((row for row in reversed(rows) if row["split"] == split), {})
