"""A model and batches small enough to train in a test, and a rank that tests start as a process.

``python tiny_training.py EXP_DIR SCENARIO``: see ``SCENARIOS``.
"""

import sys
import time
from pathlib import Path

import torch
from torch import nn

from espnet2.nn.loss_output import LossOutput
from espnet2.train.config import OptimConfig, TrainConfig
from espnet2.train.distributed import joined
from espnet2.train.loop import train

ROWS, WIDTH = 8, 6


class TinyModel(nn.Module):
    """Regression with dropout; ``weight`` differs between rows, as masked frames do."""

    def __init__(self, dropout=0.0):
        super().__init__()
        torch.manual_seed(7)
        self.layers = nn.Sequential(nn.Linear(WIDTH, 8), nn.Dropout(dropout), nn.Linear(8, 1))
        self.phases = []

    def set_phase(self, mask_prob, inter_layer):
        self.phases.append((mask_prob, inter_layer))

    def forward(self, x, y, w, speech_lengths):
        error = (self.layers(x).squeeze(-1) - y).float() ** 2 * w
        near = ((error < 1) * w).sum()
        return LossOutput(
            loss_sum=error.sum(), weight=w.sum(), counts={"near_acc": (near, w.sum())}
        )


class TinyBatches:
    """Batch of a step: ROWS rows drawn from the step; a rank takes every world-th row."""

    def __init__(self, rank=0, world=1, accum_grad=1, pause_s=0.0, bad_steps=(), seen=None):
        self.rank, self.world, self.accum_grad = rank, world, accum_grad
        self.pause_s, self.bad_steps, self.seen = pause_s, bad_steps, seen

    def batch(self, step):
        draw = torch.Generator().manual_seed(step)
        x = torch.randn(ROWS, WIDTH, generator=draw)
        w = torch.randint(1, 9, (ROWS,), generator=draw).float()
        y = x.sum(1)
        if step in self.bad_steps:
            y[0] = torch.nan  # on the first rank, in its first micro-batch
        mine = torch.arange(ROWS)[self.rank :: self.world]
        lengths = torch.full((len(mine),), 16000)
        parts = {"x": x[mine], "y": y[mine], "w": w[mine], "speech_lengths": lengths}
        cut = {name: value.chunk(self.accum_grad) for name, value in parts.items()}
        return [{name: values[i] for name, values in cut.items()} for i in range(self.accum_grad)]

    def loader(self, start, stop, num_workers):
        for step in range(start, stop):
            time.sleep(self.pause_s)
            if self.seen is not None:
                self.seen.append(step)
            yield self.batch(step)


def tiny_config(**changes):
    """A short run that saves and logs often."""
    defaults = {
        "max_steps": 12, "optim_conf": OptimConfig(lr=0.02), "scheduler": "warmuplr",
        "scheduler_conf": {"warmup_steps": 4}, "train_dtype": "float32", "grad_clip": 1.0,
        "log_interval_steps": 2, "valid_interval_steps": 0, "save_interval_steps": 3,
        "intermediate_interval_steps": 6, "num_workers": 0,
    }  # fmt: skip
    return TrainConfig(**{**defaults, **changes})


def run_tiny(exp_dir, world, config, dropout=0.0, settings=None, **batches):
    """Train the tiny model; returns it with the summary."""
    model = TinyModel(dropout)
    source = TinyBatches(world.rank, world.size, config.accum_grad, **batches)
    summary = train(model, source, config, exp_dir, world, seed=3, settings=settings or {})
    return model, summary


def slow(folder, world):
    """A run that leaves time to be killed in."""
    return run_tiny(folder / "parts", world, tiny_config(), dropout=0.3, pause_s=0.1)[0]


def whole_and_parts(folder, world):
    """With accumulation: a run, one that stopped and went on, two that one process began."""
    config = tiny_config(accum_grad=2)
    for kind in ("ddp", "fsdp"):
        run_tiny(folder / kind, world, tiny_config(accum_grad=2, max_steps=8, parallel=kind))
    run_tiny(folder / "parts", world, tiny_config(accum_grad=2, max_steps=5))
    run_tiny(folder / "parts", world, config)
    return run_tiny(folder / "whole", world, config)[0]


SCENARIOS = {"slow": slow, "whole_and_parts": whole_and_parts}


def main(exp_dir, scenario):
    """One rank."""
    with joined() as world:
        model = SCENARIOS[scenario](Path(exp_dir), world)
        torch.save(model.state_dict(), Path(exp_dir) / f"rank{world.rank}.pth")


if __name__ == "__main__":
    main(*sys.argv[1:])
