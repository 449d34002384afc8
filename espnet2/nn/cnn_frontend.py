"""The wav2vec 2.0 convolutional front end: waveform to 50 frames a second.

Shapes: B batch, N samples, R stored rows an utterance, C channels.

Every layer stores R = N' / (product of strides so far) rows an utterance, N' being the samples
rounded up to a whole frame, so the batch stays one matrix of rows from layer to layer. Rows
beyond an utterance's own frames are garbage and are cut off at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espnet2.nn.padding import Padding, padding_for, zero_padding
from espnet2.nn.precision import at_least_float32
from espnet2.nn.strided_conv import strided_conv

WAVEFORM_EPS = 1e-5  # as the reference's layer norm over the waveform


class TimeNorm(nn.Module):
    """One mean and variance a channel and utterance, over its own frames (GroupNorm, G = C)."""

    def __init__(self, num_channels: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """``x`` (B, R, C) and the valid rows of each utterance; gives (B, R, C)."""
        count = torch.tensor(lengths, device=x.device)[:, None, None]
        is_real = torch.arange(x.shape[1], device=x.device)[None, :, None] < count
        values = at_least_float32(x)
        mean = (values * is_real).sum(1, keepdim=True) / count
        var = ((values - mean).square() * is_real).sum(1, keepdim=True) / count
        y = (values - mean) * torch.rsqrt(var + self.eps) * self.weight + self.bias
        return y.to(x.dtype)


class ConvLayer(nn.Module):
    """Convolution, norm, GELU. ``conv`` only holds the weights under their released names."""

    def __init__(
        self, norm: nn.Module | None, in_dim: int, shape: tuple[int, int, int], bias: bool
    ):
        super().__init__()
        out_dim, kernel, self.stride = shape
        self.layer_norm = norm  # registered before conv, as in the released checkpoints
        self.conv = nn.Conv1d(in_dim, out_dim, kernel, self.stride, bias=bias)

    def num_frames(self, length: int) -> int:
        """Frames that this layer makes of ``length`` frames."""
        return max(0, (length - self.conv.kernel_size[0]) // self.stride + 1)

    def convolve(self, x: Tensor, norm: nn.LayerNorm | None = None) -> Tensor:
        """``x`` (B, R, C) -> (B, R/S, O); with ``norm``, of GELU(norm(``x``))."""
        batch, rows, dim = x.shape
        y = strided_conv(x.reshape(-1, dim), norm, self.conv.weight, self.conv.bias, self.stride)
        return y.view(batch, rows // self.stride, -1)

    def activate(self, y: Tensor, lengths: Sequence[int]) -> Tensor:
        """Norm and GELU of the convolution's output (B, R, O), ``lengths`` valid rows of each."""
        if isinstance(self.layer_norm, TimeNorm):
            y = self.layer_norm(y, lengths)
        elif self.layer_norm is not None:
            y = self.layer_norm(y)
        return F.gelu(y)


class CNNFrontend(nn.Module):
    """Waveforms (B, N) to features (B, T, C)."""

    def __init__(
        self,
        shapes: Sequence[tuple[int, int, int]],
        norm_mode: str = "layer_norm",
        bias: bool = True,
        normalize_audio: bool = False,
        normalize_output: bool = False,
    ):
        """``shapes`` lists (channels, kernel, stride); ``norm_mode`` layer_norm | group_norm."""
        super().__init__()
        self.normalize_audio = normalize_audio
        self.shapes = tuple(tuple(shape) for shape in shapes)
        self.hop_samples = prod(stride for _, _, stride in self.shapes)
        """Samples between two frames."""
        in_dims = (1, *(shape[0] for shape in self.shapes[:-1]))
        self.layers = nn.ModuleList(
            ConvLayer(_norm(norm_mode, index, shape[0]), in_dim, shape, bias)
            for index, (in_dim, shape) in enumerate(zip(in_dims, self.shapes, strict=True))
        )
        self.final_norm = nn.LayerNorm(self.output_size()) if normalize_output else None

    def output_size(self) -> int:
        """Channels of the features."""
        return self.shapes[-1][0]

    @property
    def receptive_samples(self) -> int:
        """Samples that one frame sees, which is also the shortest usable utterance."""
        length = 1
        for _, kernel, stride in reversed(self.shapes):
            length = (length - 1) * stride + kernel
        return length

    def num_frames(self, num_samples: int) -> int:
        """Frames of an utterance of ``num_samples`` samples."""
        for layer in self.layers:
            num_samples = layer.num_frames(num_samples)
        return num_samples

    def forward(self, speech: Tensor, lengths: Sequence[int]) -> tuple[Tensor, list[int]]:
        """``speech`` (B, N) and its valid samples -> features (B, T, C), frames of each.

        T is what N samples give, however long the utterances in them are. The waveform's
        statistics are computed in its own type, the rest in that of the weights.
        """
        num_frames = self.num_frames(speech.shape[1])  # T
        padding = padding_for(lengths, speech.shape[1], speech.device)  # in samples
        x = zero_padding(speech[..., None], padding)  # (B, N, 1)
        if self.normalize_audio:
            x = normalize_waveform(x, padding)
        x = x.to(self.layers[0].conv.weight.dtype)
        x = F.pad(x, (0, 0, 0, -x.shape[1] % self.hop_samples))  # (B, N', 1)
        lengths, below = list(lengths), None  # the layer below, if its norm is still to be done
        for layer in self.layers:
            x = layer.convolve(x, below and below.layer_norm)
            lengths = [layer.num_frames(length) for length in lengths]
            below = layer if isinstance(layer.layer_norm, nn.LayerNorm) else None
            if below is None or layer is self.layers[-1]:
                x = layer.activate(x, lengths)
        x = x[:, :num_frames]  # (B, T, C)
        return (x if self.final_norm is None else self.final_norm(x)), lengths


def _norm(norm_mode: str, index: int, dim: int) -> nn.Module | None:
    if norm_mode == "layer_norm":
        return nn.LayerNorm(dim)
    return TimeNorm(dim) if index == 0 else None


def normalize_waveform(x: Tensor, padding: Padding | None) -> Tensor:
    """Zero mean and unit variance for each utterance of ``x`` (B, N, 1), zero on padding.

    The mean is taken off twice, as the first one of a large offset is rounded: the features of
    noise of 1e-3 on an offset of 0.5 would be wrong by 5e-5, each order of summing otherwise.
    """
    count = x.shape[1] if padding is None else (~padding.is_pad).sum(1)[:, None, None]
    for _ in range(2):
        x = zero_padding(x - x.sum(1, keepdim=True) / count, padding)
    var = x.square().sum(1, keepdim=True) / count
    return x * torch.rsqrt(var + WAVEFORM_EPS)
