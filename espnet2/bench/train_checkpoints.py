"""Our side of ``bench train``, resume: training steps with checkpoints written in three ways.

Loaded by ``answer.py`` in a process that trains with one thread; the writer has its own. The first
request must be ``open``.
"""

import time
from pathlib import Path
from typing import Any

import torch

from espnet2.train.checkpoint import saved_steps, step_path
from espnet2.train.distributed import World
from espnet2.train.guards import Guards
from espnet2.train.pretrain import prepare
from espnet2.train.state import Snapshots
from espnet2.train.trainer import Trainer

SEED = 0
SAVE_AFTER = 2  # steps of a turn; the others show what writing does to them


class Side:
    """A trainer of the section ``pretrain`` on one batch, and its checkpoints."""

    def open(self, dump: str, tag: str, section: dict[str, Any], exp: str) -> dict:
        """Build everything and make a step."""
        torch.set_num_threads(1)
        world = World()
        run = prepare(Path(dump), tag, section, SEED, world)
        self.trainer = Trainer(run.model, run.config, world, SEED)
        guards = Guards(Path(exp), run.config, world)
        self.snapshots = Snapshots(Path(exp), self.trainer, guards, run.settings)
        self.batch = run.batches.batch(0)
        self.trainer.update(self.batch)
        return {"parameters": sum(p.numel() for p in run.model.parameters())}

    def steps(self, way: str, count: int) -> dict:
        """Time ``count`` steps with one checkpoint: none, inline (the loop writes) or thread."""
        held_s, start = 0.0, time.perf_counter()
        for number in range(1, count + 1):
            self.trainer.update(self.batch)
            if number == SAVE_AFTER and way != "none":
                held_s = -time.perf_counter()
                self.save(way)
                held_s += time.perf_counter()
        loop_s = time.perf_counter() - start
        self.snapshots.writer.wait()
        written_s = time.perf_counter() - start
        return {"loop_s": loop_s, "held_s": held_s, "written_s": written_s}

    def save(self, way: str) -> None:
        """Save a complete state as the loop does, or in its place."""
        if way == "thread":
            self.snapshots.save(None, force=True)
        else:
            self.snapshots.write_files(["checkpoints"], self.snapshots.full_state(), [])

    def size(self) -> dict:
        """Bytes of the newest checkpoint."""
        folder = self.snapshots.checkpoints
        return {"bytes": step_path(folder, saved_steps(folder)[-1]).stat().st_size}
