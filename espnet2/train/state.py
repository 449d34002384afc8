"""A run's files for resuming: saved atomically, found again, refused where they do not fit."""

from pathlib import Path
from typing import Any

from espnet2.train.checkpoint import (
    keep_newest,
    load_model_state,
    load_tensors,
    newest_whole,
    refuse_other_config,
    save_tensors,
    step_path,
)
from espnet2.train.trainer import Trainer
from espnet2.utils.config import load_yaml, save_yaml, to_dict
from espnet2.utils.logs import log


class Snapshots:
    """Checkpoints of one experiment.

    ``checkpoints/`` holds the last few complete states, ``intermediate/`` the model alone at every
    interval: those are kept, to be averaged at export and to study how training went.
    """

    def __init__(self, exp_dir: Path, trainer: Trainer, settings: dict[str, Any]) -> None:
        self.trainer, self.exp_dir = trainer, exp_dir
        self.settings = {
            **settings,
            "train_dtype": str(trainer.dtype).removeprefix("torch."),
            "resolved_schedule": to_dict(trainer.schedule),  # tristagelr's hangs on max_steps
        }
        self.checkpoints, self.intermediate = exp_dir / "checkpoints", exp_dir / "intermediate"

    def resume(self) -> None:
        """Go on from the newest readable checkpoint; a new experiment starts at step 0.

        Every rank reads the same checkpoint, the one that rank 0 found.
        """
        saved = self.exp_dir / "config.yaml"
        if saved.is_file():
            refuse_other_config(load_yaml(saved), self.settings, saved)
        world = self.trainer.world
        step = world.from_first(newest_whole(self.checkpoints) if world.is_first else 0)
        if world.is_first:
            save_yaml(saved, self.settings)
        if step:
            self.load(step_path(self.checkpoints, step))

    def load(self, path: Path) -> None:
        """Take model, optimiser and step from a checkpoint."""
        state = load_tensors(path)
        refuse_other_config(state["config"], self.settings, path)
        load_model_state(self.trainer.model, state["model"], path)
        self.trainer.optimizer.load_state_dict(state["optimizer"])
        self.trainer.step = state["step"]
        if self.trainer.world.is_first:
            log(f"resuming from {path}")

    def save_if_due(self, force: bool) -> None:
        """Save at the intervals, after the last step and when asked to; rank 0 writes."""
        config, step = self.trainer.config, self.trainer.step
        is_last = step == config.max_steps
        if not self.trainer.world.is_first:
            return
        if is_last or step % config.intermediate_interval_steps == 0:
            save_tensors(step_path(self.intermediate, step), self.model_state())
        if is_last or force or step % config.save_interval_steps == 0:
            save_tensors(step_path(self.checkpoints, step), self.full_state())
            keep_newest(self.checkpoints, step, config.keep_checkpoints)

    def model_state(self) -> dict[str, Any]:
        """The model alone, with where it comes from."""
        trainer = self.trainer
        return {
            "model": trainer.model.state_dict(), "step": trainer.step, "config": self.settings
        }  # fmt: skip

    def full_state(self) -> dict[str, Any]:
        """Everything the next step depends on. Random draws depend on seed and step alone."""
        return {
            **self.model_state(),
            "optimizer": self.trainer.optimizer.state_dict(),
            "scheduler": {"name": self.trainer.config.scheduler, "updates": self.trainer.step},
        }
