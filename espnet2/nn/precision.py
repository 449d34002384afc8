"""Which number format statistics and losses are computed in."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` in float32, unless it is float64 already: sums in half precision lose digits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
