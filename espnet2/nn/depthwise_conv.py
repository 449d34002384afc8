"""Depthwise convolution over time on channels-last tensors.

Shapes: B batch, T frames, C channels, K kernel (odd).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def depthwise_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x`` (B, T, C), ``weight`` (C, 1, K) -> (B, T, C), zeros beyond both ends."""
    # On a CPU as an image: oneDNN then needs no reordering of the data (forward 14 times, forward
    # and backward 2.4 times as fast as conv1d at C 256, K 15, bf16).
    return (conv_of_image if x.device.type == "cpu" else conv_of_rows)(x, weight, bias)


def conv_of_rows(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``depthwise_conv`` through a view with channels first."""
    channels, _, kernel = weight.shape
    y = F.conv1d(x.transpose(1, 2), weight, bias, padding=kernel // 2, groups=channels)
    return y.transpose(1, 2)


def conv_of_image(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``depthwise_conv`` of an image one pixel wide, channels last."""
    channels, _, kernel = weight.shape
    image = x.transpose(1, 2)[..., None]  # (B, C, T, 1), a view
    y = F.conv2d(image, weight[..., None], bias, padding=(kernel // 2, 0), groups=channels)
    return y[..., 0].transpose(1, 2)
