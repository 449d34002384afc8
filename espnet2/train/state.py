"""A run's files for resuming: saved while training goes on, found again, refused where they do not
fit."""

import json
import math
from pathlib import Path
from typing import Any

from espnet2.train.best import BestModels, Ranking, write_ranking
from espnet2.train.checkpoint import (
    keep_newest,
    load_tensors,
    newest_whole,
    refuse_foreign,
    refuse_other_config,
    refuse_other_model,
    save_tensors,
    saved_steps,
    step_path,
)
from espnet2.train.guards import Guards
from espnet2.train.parallel import like, whole
from espnet2.train.trainer import Trainer
from espnet2.train.writer import Writer
from espnet2.utils.config import load_yaml, save_yaml, to_dict
from espnet2.utils.errors import TrainingError
from espnet2.utils.files import sync, write_json
from espnet2.utils.logs import log

NOT_WRITTEN_AGAIN = ("metrics.jsonl", "languages.jsonl")  # their rows, by a run that is resumed


class Snapshots:
    """Checkpoints of one experiment.

    ``checkpoints/`` holds the last few complete states. ``intermediate/`` holds the model alone at
    every interval, with what was measured at that step inside and in a JSON file beside it: those
    are kept, to be averaged at export and to study how training went. ``best/`` holds the models of
    lowest validation loss. Models are the running mean of the weights where there is one.

    Every rank calls every method, at the same step; rank 0 writes.
    """

    def __init__(
        self, exp_dir: Path, trainer: Trainer, guards: Guards, settings: dict[str, Any]
    ) -> None:
        self.trainer, self.guards, self.exp_dir = trainer, guards, exp_dir
        self.settings = {
            **settings,
            "train_dtype": str(trainer.dtype).removeprefix("torch."),
            "resolved_schedule": to_dict(trainer.schedule),  # tristagelr's hangs on max_steps
        }
        self.checkpoints, self.intermediate = exp_dir / "checkpoints", exp_dir / "intermediate"
        self.best = BestModels(exp_dir / "best", trainer.config.keep_nbest_models)
        self.rows: dict[str, Any] = {"train": None, "valid": None}  # the last of each
        self.is_best = False  # whether the model of this step is one of the best
        self.writer = Writer()

    def resume(self) -> None:
        """Go on from the newest readable checkpoint; a new experiment starts at step 0.

        Every rank reads the same checkpoint, the one that rank 0 found.

        Raises:
            ConfigError: the experiment was begun with other settings.
            CheckpointError: its checkpoint is of another model.
        """
        saved = self.exp_dir / "config.yaml"
        if saved.is_file():
            refuse_other_config(load_yaml(saved), self.settings, saved)
        step = self.newest()
        if self.trainer.world.is_first:
            save_yaml(saved, self.settings)
            self.best.tidy()
        if step:
            self.load(step)

    def newest(self) -> int:
        """Step of the newest whole checkpoint, which rank 0 looks for; 0 where there is none."""
        world = self.trainer.world
        return world.from_first(newest_whole(self.checkpoints) if world.is_first else 0)

    def load(self, step: int) -> None:
        """Take everything from the checkpoint of ``step``."""
        trainer, path = self.trainer, step_path(self.checkpoints, step)
        state = load_tensors(path)
        refuse_foreign(state, path)
        refuse_other_config(state["config"], self.settings, path)
        refuse_other_model(trainer.model, state["model"], path)
        trainer.parallel.load(state["model"], state["optimizer"], trainer.optimizer)
        if trainer.ema is not None:
            trainer.ema.load_state_dict(like(state["ema"], trainer.ema.state_dict()))
        trainer.step, trainer.shift = state["step"], state["shift"]
        trainer.rollbacks, self.rows = state["rollbacks"], state["rows"]
        self.guards.load_state_dict(state["guards"])
        if trainer.world.is_first:
            log(f"resuming from {path}")

    def roll_back(self, reason: str) -> int:
        """Go back to the newest checkpoint; returns its step.

        How often that was (``trainer.rollbacks``) is not undone. Models of later steps are removed:
        training will come to those steps again, another way.

        Raises:
            TrainingError: there is no checkpoint yet.
            OSError: the last one could not be written.
        """
        self.writer.wait()
        trainer, step = self.trainer, self.newest()
        if not step:
            raise TrainingError(
                f"at step {trainer.step} {reason}, and there is no checkpoint in "
                f"{self.checkpoints} to go back to; lower optim_conf.lr, look for broken audio in "
                "skipped/, or save more often (save_interval_steps)"
            )
        rollbacks = trainer.rollbacks
        self.load(step)
        trainer.rollbacks = rollbacks
        if trainer.world.is_first:
            self.best.rewind(step)
            for later in saved_steps(self.intermediate):
                if later > step:
                    rows_path(self.intermediate, later).unlink(missing_ok=True)
                    step_path(self.intermediate, later).unlink()
        return step

    def is_due(self, step: int) -> bool:
        """Whether ``save`` is to be called after ``step`` updates. Also the place where a run hears
        that the last state could not be written.

        Raises:
            OSError: that, with the name of the file.
        """
        self.writer.check()
        return bool(self.due(step, force=False))

    def due(self, step: int, force: bool) -> list[str]:
        """The folders that get a file after ``step`` updates, but for ``best``."""
        config = self.trainer.config
        is_last = step == config.max_steps
        folders = []
        if is_last or step % config.intermediate_interval_steps == 0:
            folders.append("intermediate")
        if is_last or force or step % config.save_interval_steps == 0:
            folders.append("checkpoints")
        return folders

    def keep_if_best(self, step: int, row: dict[str, Any]) -> None:
        """Keep the model of ``step`` if its validation is one of the best."""
        self.rows["valid"] = plain(row)
        world = self.trainer.world
        is_best = world.is_first and self.best.enter(step, row.get("loss", math.nan))
        self.is_best = bool(world.from_first(int(is_best)))
        if self.is_best and not self.due(step, force=False):  # else the save writes it along
            self.write([])

    def save(self, row: dict[str, Any] | None, force: bool = False) -> None:
        """Save what is due at this step; a complete state in any case if ``force``.

        Returns once the state is copied; a thread writes it. While a loss spike lasts, the way back
        must not lead into it: no complete state is saved, but for the run's last.

        Args:
            row: what was last reported of training.

        Raises:
            OSError: the state before could not be written.
        """
        step = self.trainer.step
        if row is not None:
            self.rows["train"] = plain(row)
        folders = self.due(step, force)
        if self.guards.is_in_doubt and not force and step != self.trainer.config.max_steps:
            folders = [name for name in folders if name != "checkpoints"]
        if folders or self.is_best:
            self.write(folders)

    def write(self, folders: list[str]) -> None:
        """Hand this step's state over to the writer, for the files in ``folders`` and for ``best``
        if it is."""
        folders = [*folders, "best"] if self.is_best else folders
        self.is_best = False
        state = self.full_state() if "checkpoints" in folders else self.model_state()
        if not self.trainer.world.is_first:
            return
        ranking = list(self.best.ranking)
        self.writer.write(lambda copy: self.write_files(folders, copy, ranking), state)

    def write_files(self, folders: list[str], state: dict[str, Any], ranking: Ranking) -> None:
        """In the writer's thread. The checkpoint comes last: a run that is killed before it is
        there makes everything else again."""
        step, model = state["step"], model_alone(state)
        if "best" in folders:
            save_tensors(step_path(self.best.folder, step), model)
            write_ranking(self.best.folder, ranking)
        if "intermediate" in folders:
            save_tensors(step_path(self.intermediate, step), model)
            write_json(rows_path(self.intermediate, step), {"step": step, **state["rows"]})
        if "checkpoints" in folders:
            for name in NOT_WRITTEN_AGAIN:
                if (rows := self.exp_dir / name).is_file():
                    sync(rows)
            save_tensors(step_path(self.checkpoints, step), state)
            keep_newest(self.checkpoints, step, self.trainer.config.keep_checkpoints)

    def model_state(self) -> dict[str, Any]:
        """The model, the running mean of its weights if there is one, and where they come from."""
        trainer = self.trainer
        ema = {} if trainer.ema is None else {"ema": whole(trainer.ema.state_dict())}
        return {
            "model": trainer.parallel.model_state(), **ema,
            "step": trainer.step, "rows": dict(self.rows), "config": self.settings,
        }  # fmt: skip

    def full_state(self) -> dict[str, Any]:
        """Everything the next step depends on.

        No state of a random generator is among it: dropout, masks, noise, crops and the order of
        the data are functions of the seed and the number of the step or batch
        (``utils.seeding``), which ``config``, ``step`` and ``shift`` hold. The schedule is one of
        the step; the plan's fingerprint is part of ``config``.
        """
        trainer = self.trainer
        return {
            **self.model_state(),
            "optimizer": trainer.parallel.optimizer_state(trainer.optimizer),
            "scheduler": {"name": trainer.config.scheduler, "updates": trainer.step},
            "shift": trainer.shift,
            "rollbacks": trainer.rollbacks,
            "guards": self.guards.state_dict(),
        }

    def close(self) -> None:
        """Wait until everything is written.

        Raises:
            OSError: it could not be.
        """
        self.writer.close()


def model_alone(state: dict[str, Any]) -> dict[str, Any]:
    """What is exported of a state: the running mean of the weights where there is one."""
    kept = {name: state[name] for name in ("step", "rows", "config")}
    return {"model": {**state["model"], **state.get("ema", {})}, **kept}


def rows_path(folder: Path, step: int) -> Path:
    """The JSON file beside an intermediate model: its step's rows of training and validation."""
    return step_path(folder, step).with_suffix(".json")


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """``row`` as JSON has it: checkpoints hold tensors and plain values only."""
    return json.loads(json.dumps(row))
