"""Adam and AdamW, fused, with clipping and weighting folded into one pass over the gradients."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from espnet2.train.config import OptimConfig
from espnet2.train.schedulers import Schedule

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
CLIP_EPSILON = 1e-6  # as torch.nn.utils.clip_grad_norm_


def build_optimizer(
    parameters: Iterable[nn.Parameter | dict[str, Any]], name: str, conf: OptimConfig
) -> torch.optim.Optimizer:
    """The fused optimiser over the parameters that are trained.

    ``parameters``: single ones, of which those without a gradient are left out, or groups such as
    ``{"params": [...], "lr": 1e-5}``, taken as they are; without ``lr`` a group has ``conf.lr``.
    """
    trained = [
        {**p, "lr_scale": p.get("lr", conf.lr) / conf.lr} if isinstance(p, dict) else p
        for p in parameters
        if isinstance(p, dict) or p.requires_grad
    ]
    return OPTIMIZERS[name](trained, fused=True, **dataclasses.asdict(conf))


def set_learning_rate(
    optimizer: torch.optim.Optimizer, base_lr: float, schedule: Schedule, updates: int
) -> float:
    """Give every group the learning rate of the update after ``updates`` updates.

    Returns that of a group without one of its own.
    """
    learning_rate = base_lr * schedule.factor(updates)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("lr_scale", 1.0)
    return learning_rate


@torch.no_grad()
def clipped_step(
    optimizer: torch.optim.Optimizer, divisor: Tensor, max_norm: float
) -> tuple[Tensor, Tensor]:
    """Divide the gradients by ``divisor``, clip them to ``max_norm``, move the weights.

    A fused optimiser divides by a number on the device and skips the step where a flag on the
    device says so; both exist for loss scaling. They serve here to divide, clip and refuse a
    gradient that is not finite without copying anything to the host.

    Args:
        divisor: scalar; the units that the loss was summed over.
        max_norm: L2 norm to clip to; 0 or less leaves the gradients as they are.

    Returns:
        The norm before clipping (0 where not finite), and 1.0 where the step was skipped.
    """
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
    norm = nn.utils.get_total_norm([g for g in gradients if g is not None])
    if isinstance(norm, DTensor):  # of shards: their squares are still to be summed over ranks
        norm = norm.full_tensor()
    norm = norm / divisor
    is_finite = torch.isfinite(norm)
    shrink = (max_norm / (norm + CLIP_EPSILON)).clamp(max=1.0) if max_norm > 0 else 1.0
    optimizer.grad_scale = (divisor / shrink).float()
    optimizer.found_inf = skipped = (~is_finite).float()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return torch.where(is_finite, norm, 0.0), skipped
