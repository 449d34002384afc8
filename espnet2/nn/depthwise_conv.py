"""Depthwise convolution over time on channels-last tensors.

Shapes: B batch, T frames, C channels, K kernel (odd).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def depthwise_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x`` (B, T, C), ``weight`` (C, 1, K) -> (B, T, C), zeros beyond both ends."""
    channels, _, kernel = weight.shape
    half = (kernel - 1) // 2
    x = x.transpose(1, 2)  # (B, C, T), a view
    if x.device.type != "cpu":
        return F.conv1d(x, weight, bias, padding=half, groups=channels).transpose(1, 2)
    # As an image one pixel wide, channels last: oneDNN then needs no reordering of the data
    # (forward 14 times, forward and backward 2.4 times as fast as conv1d at C 256, K 15, bf16).
    y = F.conv2d(x[..., None], weight[..., None], bias, padding=(half, 0), groups=channels)
    return y[..., 0].transpose(1, 2)
