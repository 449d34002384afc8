"""The probe's transformer: conv2d subsampling by 2 and pre-norm blocks.

Shapes: B batch, T frames in, U frames out of the subsampling, P input width, C channels,
D model width, H heads. Every output within its length is the same alone and in a batch: no
convolution reaches padding and attention does not see it.
"""

import math
from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from espnet2.nn.attention import plain_attend
from espnet2.nn.dropout import Dropout

NORM_EPS = 1e-12  # as ESPnet's LayerNorm
MIN_FRAMES = 7  # fewer leave nothing after the two convolutions


def subsampled(lengths: Tensor) -> Tensor:
    """Frames left of ``lengths``: kernel 3 stride 2, then kernel 3 stride 1, no padding.

    (ESPnet counts up to three more for what is shorter than its batch: frames that read padding.)
    """
    return frames_left(lengths).clamp(min=0)


def frames_left(frames):
    """The same of a number or a tensor; below 0 where too few come in."""
    return (frames - 1) // 2 - 2


class Conv2dSubsampling2(nn.Module):
    """Two 3 x 3 convolutions over (time, feature) with ReLU, the first of stride 2; then linear."""

    def __init__(self, input_size: int, channels: int, output_size: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, stride=2)
        self.conv2 = nn.Conv2d(channels, channels, 3)
        self.out = nn.Linear(channels * ((input_size - 1) // 2 - 2), output_size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, P) -> (B, U, D)."""
        x = F.pad(x, (0, 0, 0, max(0, MIN_FRAMES - x.shape[1])))
        x = x[:, None].contiguous(memory_format=torch.channels_last)  # (B, 1, T, P)
        x = self.conv2(self.conv1(x).relu()).relu()  # (B, C, U, P')
        return self.out(x.permute(0, 2, 3, 1).flatten(2).to(self.out.weight.dtype))


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, size: int, num_heads: int, dropout_rate: float) -> None:
        super().__init__()
        self.num_heads, self.dropout_rate = num_heads, dropout_rate
        self.qkv = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """(B, U, D) with ``keep`` (B, 1, 1, U), True on speech; None: no padding at all."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        rate = self.dropout_rate if self.training else 0.0
        # On a CPU the backward of torch's fused kernel took half of the step (20 x 2 s, d 144).
        attend = F.scaled_dot_product_attention if x.is_cuda else plain_attend
        y = attend(q, k, v, keep, rate)  # (B, H, U, D / H)
        return self.out(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm attention and feed-forward with ReLU."""

    def __init__(self, size: int, num_heads: int, linear_units: int, dropout_rate: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(size, eps=NORM_EPS)
        self.attention = Attention(size, num_heads, dropout_rate)
        self.norm2 = nn.LayerNorm(size, eps=NORM_EPS)
        self.up = nn.Linear(size, linear_units)
        self.down = nn.Linear(linear_units, size)
        self.dropout = Dropout(dropout_rate)

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """(B, U, D) -> (B, U, D)."""
        x = x + self.dropout(self.attention(self.norm1(x), keep))
        return x + self.dropout(self.down(self.dropout(self.up(self.norm2(x)).relu())))


class Transformer(nn.Module):
    """Sinusoidal positions, blocks, final norm."""

    def __init__(
        self, size: int, num_heads: int, linear_units: int, num_blocks: int, dropout_rate: float
    ) -> None:
        super().__init__()
        self.dropout = Dropout(dropout_rate)
        self.blocks = nn.ModuleList(
            Block(size, num_heads, linear_units, dropout_rate) for _ in range(num_blocks)
        )
        self.norm = nn.LayerNorm(size, eps=NORM_EPS)

    def forward(
        self,
        x: Tensor,
        lengths: Tensor,
        taps: Collection[int] = (),
        condition: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """(B, U, D) -> (B, U, D), and the normed output of each block of ``taps`` (from 1).

        What ``condition`` makes of a tap (B, U, D) is added before the next block.
        """
        keep = torch.arange(x.shape[1], device=x.device) < lengths.clamp(min=1)[:, None]  # (B, U)
        keep = keep[:, None, None, :]
        x = self.dropout(x * math.sqrt(x.shape[2]) + positions(x))
        tapped = {}
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, keep)
            if number in taps:
                tapped[number] = self.norm(x)
                x = x if condition is None else x + condition(tapped[number])
        return self.norm(x), tapped


def positions(x: Tensor) -> Tensor:
    """(U, D) interleaved sine and cosine of geometric frequencies (arXiv 1706.03762)."""
    frames, size = x.shape[1:]
    rate = torch.exp(torch.arange(0, size, 2, device=x.device) * (-math.log(10000.0) / size))
    angle = torch.arange(frames, device=x.device)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1).to(x.dtype)
