"""What goes wrong in a long run, noticed at every report: before a checkpoint holds it.

Steps only note flags on the device and names on the host. ``look`` reads the flags of an interval
in one copy, lists what was skipped or could not be read, and says when to go back.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from espnet2.train.alarms import Collapse, Spikes
from espnet2.train.batch_table import BatchTable
from espnet2.train.config import TrainConfig
from espnet2.train.distributed import World
from espnet2.train.trainer import Batch, StepOutcome
from espnet2.utils.errors import TrainingError

FEW_ROWS = 10_000  # shares of less say little: one bad file among the first hundred rows


class Guards:
    """The guards of one rank. All ranks come to the same verdict: what decides is summed."""

    def __init__(self, exp_dir: Path, config: TrainConfig, world: World) -> None:
        self.config, self.world = config, world
        name = f"rank_{world.rank:03d}.tsv"
        self.skipped = BatchTable(exp_dir / "skipped" / name)
        self.unreadable = BatchTable(exp_dir / "unreadable" / name)
        self.rows = torch.zeros(2, dtype=torch.float64)  # all, and those that could not be read
        self.reset()

    def reset(self) -> None:
        """Forget the steps that a rollback undid; what was listed stays."""
        self.flags: list[Tensor] = []  # a step: was it skipped, and is each loss finite
        self.names: list[tuple[int, list[list[str]]]] = []  # batch, ids of each micro-batch
        self.in_a_row = 0
        self.spikes = Spikes(self.config.spike_ratio)
        self.collapse = Collapse()

    def go_on_after(self, batch: int) -> None:
        """What was listed of batches after number ``batch`` of the plan will be listed again.

        The first rank answers for the tables of ranks that the run had before and has no more.
        """
        for table in (self.skipped, self.unreadable):
            table.cut_after(batch)
            for path in table.path.parent.glob("rank_*.tsv") if self.world.is_first else ():
                if int(path.stem.removeprefix("rank_")) >= self.world.size:
                    BatchTable(path).cut_after(batch)

    def state_dict(self) -> dict[str, Any]:
        """What the next verdict depends on, as plain values."""
        return {
            "in_a_row": self.in_a_row,
            "spikes": self.spikes.state_dict(),
            "collapse": self.collapse.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state: a resumed run comes to the same verdicts."""
        self.in_a_row = state["in_a_row"]
        self.spikes.load_state_dict(state["spikes"])
        self.collapse.load_state_dict(state["collapse"])

    def note(self, batch_number: int, outcome: StepOutcome, micro_batches: list[Batch]) -> None:
        """Remember the step of a batch of the plan; nothing is copied to the host."""
        is_bad = [~output.loss_sum.isfinite() for output in outcome.outputs]
        self.flags.append(torch.stack([outcome.skipped, *(bad.float() for bad in is_bad)]))
        self.names.append((batch_number, [batch.get("utt_ids", []) for batch in micro_batches]))
        for batch in micro_batches:
            self.rows += torch.tensor([len(batch.get("utt_ids", [])), 0])
            for utt_id, reason in batch.get("replaced", []):
                self.rows[1] += 1
                self.unreadable.add(batch_number, utt_id, reason)

    def look(self, row: dict[str, Any]) -> tuple[list[str], str]:
        """Alarms to sound, and why to go back to the last checkpoint ("" for no reason).

        row: what the reporter wrote about the interval.

        Raises:
            TrainingError: too much audio could not be read.
        """
        self.list_skipped()
        self.refuse_unreadable()
        phase = self.config.phases.index(self.config.phase_at(row["step"] - 1))
        spike = self.spikes.look(phase, row.get("loss"))
        alarms = [alarm for alarm in (spike, self.collapse.look(row)) if alarm]
        limit = self.config.rollback_after
        if limit and self.in_a_row >= limit:
            return alarms, f"{self.in_a_row} steps in a row had no finite gradient"
        if not limit and row["skipped"] == 1.0:
            return alarms, "no gradient since the last report was finite"
        return alarms, self.spikes.reason_to_go_back()

    @property
    def is_in_doubt(self) -> bool:
        """Whether the last reported loss was a spike, which may yet turn the run back."""
        return self.spikes.lasted > 0

    def list_skipped(self) -> None:
        """Read the interval's flags and write down whose steps were skipped."""
        if not self.flags:
            return
        for (number, ids), (skipped, *is_bad) in zip(
            self.names, torch.stack(self.flags).tolist(), strict=True
        ):
            self.in_a_row = self.in_a_row + 1 if skipped else 0
            for utt_ids, bad in zip(ids, is_bad, strict=True):
                why = "loss not finite" if bad else "gradient not finite"
                for utt_id in utt_ids if skipped else ():
                    self.skipped.add(number, utt_id, why)
        self.flags, self.names = [], []

    def refuse_unreadable(self) -> None:
        """End the run where too much of the audio could not be read."""
        rows, unreadable = self.world.sum(self.rows.to(self.world.device)).tolist()
        if unreadable > self.config.max_unreadable_ratio * max(rows, FEW_ROWS):
            raise TrainingError(
                f"{unreadable:.0f} of {rows:.0f} rows could not be read (max_unreadable_ratio is "
                f"{self.config.max_unreadable_ratio:g}); they are listed in "
                f"{self.unreadable.path.parent}: mend the shards and run the same command again"
            )
