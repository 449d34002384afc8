"""The feed-forward layer equals its plain form, in value and gradient."""

import pytest
import torch
from torch import nn

from espnet2.nn import feed_forward as module
from espnet2.nn.activations import ACTIVATIONS
from espnet2.nn.dropout import drop_again
from espnet2.nn.feed_forward import FeedForward

MODULES = {
    "swish": nn.SiLU(),
    "gelu": nn.GELU(),
    "relu": nn.ReLU(),
    "tanh": nn.Tanh(),
    "hardtanh": nn.Hardtanh(),
    "selu": nn.SELU(),
    "identity": nn.Identity(),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_gradients_are_torchs(name):
    x = torch.linspace(-3, 3, 61, dtype=torch.float64, requires_grad=True)
    y, dy = MODULES[name](x), torch.randn(61, dtype=torch.float64)
    torch.testing.assert_close(ACTIVATIONS[name].function(x), y)
    expected = torch.autograd.grad(y, x, dy)[0]
    torch.testing.assert_close(ACTIVATIONS[name].gradient(dy, x.detach()), expected)


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_equals_linear_activation_dropout_linear(name, rate, monkeypatch):
    torch.manual_seed(0)
    layer = FeedForward(4, 6, rate, name).double()
    x = torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True)
    kept = []
    monkeypatch.setattr(module, "drop", lambda y, p: remember(kept, y, p))
    ours = layer(x)
    hidden = MODULES[name](layer.w_1(x))
    theirs = layer.w_2(drop_again(hidden, kept[0], rate) if rate else hidden)
    torch.testing.assert_close(ours, theirs)
    inputs, grad = [x, *layer.parameters()], torch.randn_like(theirs)
    for a, b in zip(
        torch.autograd.grad(ours, inputs, grad),
        torch.autograd.grad(theirs, inputs, grad),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def remember(kept, x, rate):
    keep = torch.rand(x.shape) >= rate
    kept.append(keep)
    return drop_again(x, keep, rate), keep


def test_dropout_is_for_training_only():
    layer, x = FeedForward(4, 600, 0.5), torch.randn(3, 4)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_training_keeps_one_wide_tensor_and_a_byte_a_value():
    kept = []
    layer, x = FeedForward(4, 600, 0.5), torch.randn(3, 4)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer(x)
    wide = [t.dtype for t in kept if t.shape == (3, 600)]
    assert sorted(map(str, wide)) == ["torch.bool", "torch.float32"]


def test_a_layer_put_in_place_of_a_linear_one_is_called():
    layer, x = FeedForward(4, 8, 0.0), torch.randn(2, 3, 4)
    plain = layer(x)
    layer.w_2 = torch.nn.Sequential(layer.w_2)  # as adapters do, with their own on top
    torch.testing.assert_close(layer(x), plain)
    layer.w_2.append(torch.nn.Tanh())
    torch.testing.assert_close(layer(x), plain.tanh())
