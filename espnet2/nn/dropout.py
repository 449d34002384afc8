"""Dropout with cheap random bits on a CPU.

torch draws one number for each value there. Here 64 random bits serve four values.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEVELS = 2**16  # 16 bits a value: rates are rounded to 1/65536


class Dropout(nn.Module):
    """In training, zero a share ``rate`` of the values and scale the rest to keep the mean."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """``x`` of any shape -> the same shape."""
        return drop(x, self.rate)[0] if self.training and self.rate > 0 else x

    def extra_repr(self) -> str:
        """For ``print(model)``."""
        return f"{self.rate}"


def drop(x: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """``x`` after dropout, and what was kept (bool, the shape of ``x``)."""
    if not has_cheap_bits(x):
        return torch.native_dropout(x, rate, True)
    keep = random_keep(x.shape, rate)
    return drop_again(x, keep, rate), keep


def drop_again(x: Tensor, keep: Tensor, rate: float) -> Tensor:
    """The dropout that ``keep`` stands for; also its gradient, with ``x`` the one above."""
    dropped = threshold(rate) if has_cheap_bits(x) else rate * LEVELS
    return (x * keep).mul_(LEVELS / (LEVELS - dropped) if dropped < LEVELS else 0.0)


def has_cheap_bits(x: Tensor) -> bool:
    """Whether 16 bits a value decide: on a CPU, unless torch.compile writes the code."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def threshold(rate: float) -> int:
    """How many of the 65,536 levels are dropped."""
    return round(rate * LEVELS)


def random_keep(shape: torch.Size, rate: float) -> Tensor:
    """True with probability 1 - ``rate``, from torch's CPU generator."""
    count = shape.numel()
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    levels = words.view(torch.int16)[:count]  # uniform in -32768 .. 32767
    return (levels >= threshold(rate) - LEVELS // 2).view(shape)
