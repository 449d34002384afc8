"""Positional information for the encoder.

Shapes: B batch, T frames, D model width, K kernel, G groups.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espnet2.nn.dropout import Dropout

KERNEL, GROUPS = 128, 16  # of XEUS's positions, as of wav2vec 2.0's


class WeightNormConv(nn.Module):
    """A grouped convolution over time whose weight is g * v/||v||, one norm a kernel tap."""

    def __init__(self, dim: int, kernel: int, groups: int):
        super().__init__()
        self.groups = groups
        self.bias = nn.Parameter(torch.zeros(dim))
        self.weight_g = nn.Parameter(torch.empty(1, 1, kernel))
        self.weight_v = nn.Parameter(torch.empty(dim, dim // groups, kernel))
        bound = 1 / math.sqrt(dim // groups * kernel)
        nn.init.uniform_(self.weight_v, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)
        with torch.no_grad():
            self.weight_g.copy_(self.weight_v.norm(dim=(0, 1), keepdim=True))

    def weight(self) -> Tensor:
        """The convolution's weight (D, D/G, K)."""
        return self.weight_v * (self.weight_g / self.weight_v.norm(dim=(0, 1), keepdim=True))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (B, D, T) -> (B, D, T).

        An even kernel's extra last frame is dropped; that equals a kernel with a zero tap more.
        The odd kernel also keeps clear of a fault of oneDNN (torch 2.13, AMX), which returns
        wrong bf16 values for grouped convolutions when K * D/G is a multiple of 32, D/G < 16.
        """
        weight = self.weight()
        if weight.shape[2] % 2 == 0:
            weight = F.pad(weight, (0, 1))
        return F.conv1d(x, weight, self.bias, padding=weight.shape[2] // 2, groups=self.groups)


class ConvPositions(nn.Module):
    """Convolutional positions: the output *replaces* the input, there is no residual.

    XEUS was trained so, unlike wav2vec 2.0, which adds the two.
    """

    def __init__(self, dim: int, kernel: int = KERNEL, groups: int = GROUPS):
        super().__init__()
        self.conv = WeightNormConv(dim, kernel, groups)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (B, T, D), zero on padding -> (B, T, D)."""
        return F.gelu(self.conv(x.transpose(1, 2)).transpose(1, 2).contiguous())


class SinusoidPositions(nn.Module):
    """Absolute sinusoids: x * sqrt(D) + sin/cos(position), then dropout."""

    def __init__(self, dim: int, dropout_rate: float = 0.0):
        super().__init__()
        self.scale = math.sqrt(dim)
        self.dropout = Dropout(dropout_rate)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (B, T, D) -> (B, T, D)."""
        return self.dropout(
            x * self.scale + sinusoids(x.shape[1], x.shape[2], x.device).to(x.dtype)
        )


def sinusoids(num_frames: int, dim: int, device: torch.device) -> Tensor:
    """(T, D): sin in the even channels, cos in the odd, wavelengths 2 pi .. 20000 pi."""
    position = torch.arange(num_frames, device=device, dtype=torch.float32)[:, None]
    channel = torch.arange(0, dim, 2, device=device, dtype=torch.float32)
    angle = position * torch.exp(channel * (-math.log(10000.0) / dim))  # (T, D/2)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
