"""Depthwise convolution over time on channels-last tensors.

Shapes: B batch, T frames, C channels, K kernel (odd).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def depthwise_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x`` (B, T, C), ``weight`` (C, 1, K) -> (B, T, C), zeros beyond both ends."""
    channels, _, kernel = weight.shape
    y = F.conv1d(x.transpose(1, 2), weight, bias, padding=(kernel - 1) // 2, groups=channels)
    return y.transpose(1, 2)
