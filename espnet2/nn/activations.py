"""Activation functions by ESPnet's names, with their gradients written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

aten = torch.ops.aten
SELU_SCALE = 1.0507009873554805  # arXiv 1706.02515
SELU_ALPHA = 1.6732632423543772


class Activation(NamedTuple):
    """A function and its gradient."""

    function: Callable[[Tensor], Tensor]
    """x -> y."""

    gradient: Callable[[Tensor, Tensor], Tensor]
    """(dy, x) -> dx."""


ACTIVATIONS = {
    "swish": Activation(F.silu, aten.silu_backward),
    "gelu": Activation(F.gelu, aten.gelu_backward),
    "relu": Activation(F.relu, lambda dy, x: dy * (x > 0)),
    "tanh": Activation(torch.tanh, lambda dy, x: aten.tanh_backward(dy, torch.tanh(x))),
    "hardtanh": Activation(F.hardtanh, lambda dy, x: aten.hardtanh_backward(dy, x, -1.0, 1.0)),
    "selu": Activation(
        F.selu, lambda dy, x: aten.elu_backward(dy, SELU_ALPHA, SELU_SCALE, 1.0, False, x)
    ),
    "identity": Activation(lambda x: x, lambda dy, x: dy),
}
