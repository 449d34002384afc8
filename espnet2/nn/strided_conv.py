"""A strided convolution over time as one or two matrix products, channels last.

Shapes: R rows (frames of all utterances, one below the other), C channels in, O channels out,
K kernel, S stride.

Rows are cut into groups of S, which is a view. The first S taps of the kernel see a group, the
next S taps the group below it, and so on: ceil(K/S) matrix products, no transpose and no copy
of the input. The rows at the end of an utterance, whose window would reach into the next
utterance, hold finite garbage that nobody reads.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def tap_matrices(weight: Tensor, stride: int) -> list[Tensor]:
    """A Conv1d weight (O, C, K) as ceil(K/S) matrices (taps*C, O), one per group of taps."""
    return [
        taps.permute(2, 1, 0).reshape(-1, weight.shape[0])  # (O, C, taps) -> (taps*C, O)
        for taps in weight.split(stride, dim=2)
    ]


class _StridedConv(torch.autograd.Function):
    """``groups`` (R/S, S*C), ``bias`` (O,) or None, then the tap matrices; gives (R/S, O)."""

    @staticmethod
    def forward(ctx, groups: Tensor, bias: Tensor | None, *taps: Tensor) -> Tensor:
        ctx.save_for_backward(groups, *taps)
        ctx.has_bias = bias is not None
        y = groups @ taps[0] if bias is None else torch.addmm(bias, groups, taps[0])
        for below, matrix in enumerate(taps[1:], start=1):
            y[:-below].addmm_(groups[below:, : matrix.shape[0]], matrix)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor):
        groups, *taps = ctx.saved_tensors
        dy = dy.contiguous()
        dgroups = dy @ taps[0].t() if ctx.needs_input_grad[0] else None
        dtaps = [groups.t() @ dy]
        for below, matrix in enumerate(taps[1:], start=1):
            used = matrix.shape[0]
            dtaps.append(groups[below:, :used].t() @ dy[:-below])
            if dgroups is not None:
                dgroups[below:, :used] += dy[:-below] @ matrix.t()
        dbias = dy.sum(0) if ctx.has_bias else None
        return dgroups, dbias, *dtaps


def strided_conv(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """Convolve rows ``x`` (R, C), R a multiple of the stride; gives (R/S, O).

    Row t of an utterance equals Conv1d's frame t wherever its window ends inside the utterance.
    """
    device = x.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    groups = x.reshape(x.shape[0] // stride, stride * x.shape[1])  # (R, C) -> (R/S, S*C)
    return _StridedConv.apply(groups, bias, *tap_matrices(weight, stride))
