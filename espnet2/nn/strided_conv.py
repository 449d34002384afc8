"""A strided convolution over time as matrix products, channels last, with little memory.

Shapes: R rows (frames of all utterances, one below the other), C channels in, O channels out,
K kernel, S stride, G = R/S groups of rows.

Rows are cut into groups of S, which is a view. The first S taps of the kernel see a group, the
next S taps the group below it, and so on: ceil(K/S) matrix products, no transpose and no copy
of the input. The rows at the end of an utterance, whose window would reach into the next
utterance, hold finite garbage that nobody reads.

A layer of the front end convolves GELU(LayerNorm(y)) of the layer before. That input is made
here, a piece at a time, and made again in the backward pass: training stores y alone, a third of
what autograd would keep, and on a CPU a piece is still near from the norm to the product.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

CPU_PIECE_VALUES = 2**20  # values of a piece on a CPU: 4 MB in fp32
KEPT_VALUES = 2**22  # a CPU keeps so few: a small model has memory to spare, but no time


def strided_conv(
    y: Tensor, norm: nn.LayerNorm | None, weight: Tensor, bias: Tensor | None, stride: int
) -> Tensor:
    """Convolve GELU(norm(``y``)), or ``y`` itself without a norm: rows (R, C) -> (R/S, O).

    ``weight`` (O, C, K), ``bias`` (O,); R is a multiple of the stride. Row t of an utterance
    equals Conv1d's frame t wherever its window ends inside the utterance.
    """
    dtype = y.dtype
    if torch.is_autocast_enabled(y.device.type):
        dtype = torch.get_autocast_dtype(y.device.type)
    bias = None if bias is None else bias.to(dtype)
    taps = [matrix.to(dtype) for matrix in tap_matrices(weight, stride)]
    y = y.to(dtype)
    if norm is None:
        return _StridedConv.apply(y, None, None, 0.0, stride, bias, *taps)
    scale, shift = norm.weight.to(dtype), norm.bias.to(dtype)
    if y.device.type == "cpu" and y.requires_grad and y.numel() <= KEPT_VALUES:
        x, *_ = activate(y, scale, shift, norm.eps)
        return _StridedConv.apply(x, None, None, 0.0, stride, bias, *taps)
    return _StridedConv.apply(y, scale, shift, norm.eps, stride, bias, *taps)


def tap_matrices(weight: Tensor, stride: int) -> list[Tensor]:
    """A Conv1d weight (O, C, K) as ceil(K/S) matrices (taps*C, O), one per group of taps."""
    return [
        taps.permute(2, 1, 0).flatten(0, 1).contiguous()  # (O, C, taps) -> (taps*C, O)
        for taps in weight.split(stride, dim=2)
    ]


def pieces(num_groups: int, group_values: int, device: torch.device) -> Iterator[tuple[int, int]]:
    """(start, stop) of the groups that are worked on together: all of them, but on a CPU."""
    size = num_groups
    if device.type == "cpu":
        size = max(1, CPU_PIECE_VALUES // group_values)
    for start in range(0, num_groups, max(1, size)):
        yield start, min(start + size, num_groups)


class _StridedConv(torch.autograd.Function):
    """``y`` (R, C), scale and shift (C,) of its norm or None, ``bias`` (O,), tap matrices."""

    @staticmethod
    def forward(ctx, y, scale, shift, eps, stride, bias, *taps):
        ctx.save_for_backward(y, scale, shift, *taps)
        ctx.eps, ctx.stride, ctx.has_bias = eps, stride, bias is not None
        num_groups, width = y.shape[0] // stride, stride * y.shape[1]
        out = y.new_empty(num_groups, taps[0].shape[1])
        for start, stop in pieces(num_groups, width, y.device):
            reach = stop + len(taps) - 1  # the kernel sees this many groups
            x, *_ = activate(y[start * stride : reach * stride], scale, shift, eps)
            x, part = x.view(-1, width), out[start:stop]
            if bias is None:
                torch.mm(x[: len(part)], taps[0], out=part)
            else:
                torch.addmm(bias, x[: len(part)], taps[0], out=part)
            for below, matrix in enumerate(taps[1:], start=1):
                under = x[below : below + len(part), : matrix.shape[0]]
                part[: len(under)].addmm_(under, matrix)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, dout: Tensor):
        y, scale, shift, *taps = ctx.saved_tensors
        dout, stride, width = dout.contiguous(), ctx.stride, ctx.stride * y.shape[1]
        dy = torch.empty_like(y) if ctx.needs_input_grad[0] else None
        dtaps = [sum_like(matrix) for matrix in taps]
        dscale, dshift = (None, None) if scale is None else (sum_like(scale), sum_like(shift))
        for start, stop in pieces(len(dout), width, y.device):
            rows = y[start * stride : stop * stride]
            x, normed, mean, rstd = activate(rows, scale, shift, ctx.eps)
            dx = add_products(dtaps, taps, x.view(-1, width), dout, start)
            if dy is None:
                continue
            dx = dx.view_as(rows)
            if scale is not None:
                dx = torch.ops.aten.gelu_backward(dx, normed)
                dx, more_scale, more_shift = torch.ops.aten.native_layer_norm_backward(
                    dx, rows, rows.shape[1:], mean, rstd, scale, shift, [True, True, True]
                )
                dscale += more_scale
                dshift += more_shift
            dy[start * stride : stop * stride] = dx
        dbias = dout.sum(0) if ctx.has_bias else None
        return dy, dscale, dshift, None, None, dbias, *dtaps


def sum_like(x: Tensor) -> Tensor:
    """Zeros to add pieces to: at least fp32, so that many small terms are not lost."""
    return torch.zeros_like(x, dtype=torch.promote_types(x.dtype, torch.float32))


def activate(rows: Tensor, scale: Tensor | None, shift: Tensor | None, eps: float):
    """GELU(LayerNorm(``rows``)), the norm's output, mean and 1/std; without a norm, ``rows``."""
    if scale is None:
        return rows, None, None, None
    normed, mean, rstd = torch.native_layer_norm(rows, rows.shape[1:], scale, shift, eps)
    return F.gelu(normed), normed, mean, rstd


def add_products(
    dtaps: list[Tensor], taps: list[Tensor], x: Tensor, dout: Tensor, start: int
) -> Tensor:
    """Gradient of the groups ``x`` (P, S*C), which begin at ``start``; adds theirs to ``dtaps``."""
    stop = start + len(x)
    dx = dout[start:stop] @ taps[0].t()
    add_product(dtaps[0], x.t(), dout[start:stop])
    for below, (dtap, matrix) in enumerate(zip(dtaps[1:], taps[1:], strict=True), start=1):
        first = max(start, below)  # group g was below output g - below
        if first < stop:
            used, above = matrix.shape[0], dout[first - below : stop - below]
            add_product(dtap, x[first - start :, :used].t(), above)
            dx[first - start :, :used].addmm_(above, matrix.t())
    return dx


def add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """``total`` += ``a`` @ ``b``; ``total`` may be of a wider type."""
    if total.dtype == a.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b
