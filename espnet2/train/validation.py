"""Validation: the training loss and counts of a fixed set of batches, without learning."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from espnet2.train.distributed import World
from espnet2.train.metrics import Meters
from espnet2.train.reporter import add_output


@torch.no_grad()
def validate(
    model: nn.Module, batches: Iterable[list[dict[str, Tensor]]], world: World
) -> dict[str, float]:
    """Ratios over ``batches`` and all ranks; the model is left in training mode."""
    meters = Meters()
    model.eval()
    for micro_batches in batches:
        for batch in micro_batches:
            add_output(meters, model(**batch))
    model.train()
    return meters.read(world)
