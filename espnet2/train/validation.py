"""Validation: the training loss and counts of a fixed set of batches, without learning."""

import contextlib
from collections.abc import Callable

import torch

from espnet2.train.metrics import Meters
from espnet2.train.reporter import add_output
from espnet2.train.trainer import Batches, Trainer, autocast, on_device


@torch.no_grad()
def validate(
    trainer: Trainer, batches: Batches, before_each: Callable[[], None]
) -> dict[str, float]:
    """Ratios over the first ``valid_batches`` and all ranks; with the mean weights if there are.

    ``before_each`` is called before each batch. The model is left in training mode.
    """
    meters, model, device = Meters(), trainer.model, trainer.world.device
    weights = trainer.ema.in_use() if trainer.ema else contextlib.nullcontext()
    model.eval()
    with weights, autocast(device, trainer.dtype):
        for micro_batches in batches.loader(0, trainer.config.valid_batches, 0):
            before_each()
            for batch in micro_batches:
                add_output(meters, model(**on_device(batch, device)))
    model.train()
    return meters.read(trainer.world)
