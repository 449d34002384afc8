"""The position-wise feed-forward layer.

Shapes: D model width, F hidden width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from espnet2.nn.activations import ACTIVATIONS
from espnet2.nn.dropout import drop, drop_again


class FeedForward(nn.Module):
    """Linear, activation, dropout, linear."""

    def __init__(self, dim: int, hidden_dim: int, dropout_rate: float, activation: str = "swish"):
        super().__init__()
        self.w_1 = nn.Linear(dim, hidden_dim)
        self.w_2 = nn.Linear(hidden_dim, dim)
        self.activation = activation
        self.dropout_rate = dropout_rate

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (..., D) -> (..., D)."""
        hidden = self.w_1(x)
        rate = self.dropout_rate if self.training else 0.0
        if type(self.w_2) is not nn.Linear:  # an adapter's: its weight is not all of it
            hidden = ACTIVATIONS[self.activation].function(hidden)
            return self.w_2(drop(hidden, rate)[0] if rate > 0 else hidden)
        weight, bias = self.w_2.weight.to(hidden.dtype), self.w_2.bias.to(hidden.dtype)
        return _ActiveLinear.apply(hidden, weight, bias, self.activation, rate)


class _ActiveLinear(torch.autograd.Function):
    """Linear(dropout(activation(hidden))) that keeps nothing so wide but ``hidden`` (..., F).

    Autograd would keep the output of the activation and of the dropout too; both are made again
    in the backward pass, from ``hidden`` and one byte a value.
    """

    @staticmethod
    def forward(ctx, hidden, weight, bias, activation, rate):
        x, keep = ACTIVATIONS[activation].function(hidden), None
        if rate > 0:
            x, keep = drop(x, rate)
        ctx.save_for_backward(hidden, keep, weight)
        ctx.activation, ctx.rate = ACTIVATIONS[activation], rate
        return F.linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor):
        hidden, keep, weight = ctx.saved_tensors
        x, dx = ctx.activation.function(hidden), dy @ weight
        if keep is not None:
            x, dx = drop_again(x, keep, ctx.rate), drop_again(dx, keep, ctx.rate)
        dy = dy.flatten(0, -2)
        dweight = dy.t() @ x.flatten(0, -2) if ctx.needs_input_grad[1] else None
        return ctx.activation.gradient(dx, hidden), dweight, dy.sum(0), None, None
