"""The matrix-product convolution is a convolution."""

import pytest
import torch
import torch.nn.functional as F

from espnet2.nn.strided_conv import strided_conv

SHAPES = [(1, 10, 5), (4, 3, 2), (4, 2, 2), (3, 5, 2), (2, 1, 1), (2, 7, 3)]


@pytest.mark.parametrize(("in_dim", "kernel", "stride"), SHAPES)
@pytest.mark.parametrize("has_bias", [True, False])
def test_equals_conv1d_in_value_and_gradient(in_dim, kernel, stride, has_bias):
    torch.manual_seed(0)
    batch, rows = 3, 4 * stride * 2
    x = torch.randn(batch, rows, in_dim, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, in_dim, kernel, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(5, dtype=torch.float64, requires_grad=True) if has_bias else None
    frames = (rows - kernel) // stride + 1
    ours = strided_conv(x.reshape(-1, in_dim), weight, bias, stride)
    ours = ours.view(batch, rows // stride, 5)[:, :frames]
    theirs = F.conv1d(x.transpose(1, 2), weight, bias, stride=stride).transpose(1, 2)
    torch.testing.assert_close(ours, theirs)
    inputs = [t for t in (x, weight, bias) if t is not None]
    grad = torch.randn_like(theirs)
    for a, b in zip(
        torch.autograd.grad(ours, inputs, grad),
        torch.autograd.grad(theirs, inputs, grad),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_autocast_computes_in_bfloat16_and_returns_gradients_in_float32():
    x = torch.randn(8, 4, requires_grad=True)
    weight = torch.randn(6, 4, 3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = strided_conv(x, weight, torch.zeros(6), 2)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert x.grad.dtype == weight.grad.dtype == torch.float32
