"""The matrix-product convolution is a convolution, of its input or of the normed one."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from espnet2.nn import strided_conv as module
from espnet2.nn.strided_conv import strided_conv

SHAPES = [(1, 10, 5), (4, 3, 2), (4, 2, 2), (3, 5, 2), (2, 1, 1), (2, 7, 3), (2, 8, 1)]


@pytest.mark.parametrize(("in_dim", "kernel", "stride"), SHAPES)
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("has_norm", [True, False])
@pytest.mark.parametrize(("piece_values", "kept_values"), [(1, 0), (20, 0), (2**18, 0), (1, 999)])
def test_equals_conv1d_in_value_and_gradient(
    in_dim, kernel, stride, has_bias, has_norm, piece_values, kept_values, monkeypatch
):
    monkeypatch.setattr(module, "CPU_PIECE_VALUES", piece_values)
    monkeypatch.setattr(module, "KEPT_VALUES", kept_values)
    torch.manual_seed(0)
    double = {"dtype": torch.float64, "requires_grad": True}
    batch, rows = 3, 4 * stride * 2
    x = torch.randn(batch, rows, in_dim, **double)
    weight = torch.randn(5, in_dim, kernel, **double)
    bias = torch.randn(5, **double) if has_bias else None
    norm = nn.LayerNorm(in_dim, dtype=torch.float64) if has_norm else None
    norm_weights = list(norm.parameters()) if norm else []
    for parameter in norm_weights:
        nn.init.normal_(parameter)
    frames = (rows - kernel) // stride + 1
    ours = strided_conv(x.reshape(-1, in_dim), norm, weight, bias, stride)
    ours = ours.view(batch, rows // stride, 5)[:, :frames]
    active = F.gelu(norm(x)) if norm else x
    theirs = F.conv1d(active.transpose(1, 2), weight, bias, stride=stride).transpose(1, 2)
    torch.testing.assert_close(ours, theirs)
    inputs = [t for t in (x, weight, bias, *norm_weights) if t is not None]
    grad = torch.randn_like(theirs)
    for a, b in zip(
        torch.autograd.grad(ours, inputs, grad),
        torch.autograd.grad(theirs, inputs, grad),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("norm", [None, nn.LayerNorm(4)])
def test_autocast_computes_in_bfloat16_and_returns_gradients_in_float32(norm):
    x = torch.randn(8, 4, requires_grad=True)
    weight = torch.randn(6, 4, 3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = strided_conv(x, norm, weight, torch.zeros(6), 2)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert x.grad.dtype == weight.grad.dtype == torch.float32
    assert norm is None or norm.weight.grad.dtype == torch.float32


def test_training_keeps_one_copy_of_what_the_layer_reads(monkeypatch):
    monkeypatch.setattr(module, "KEPT_VALUES", 0)
    kept = []
    x = torch.randn(60, 4, requires_grad=True)
    weight = torch.randn(6, 4, 3, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        strided_conv(x, nn.LayerNorm(4), weight, None, 2)
    assert [tuple(t.shape) for t in kept if len(t) == 60] == [(60, 4)]
