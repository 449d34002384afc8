"""Learned weighted sum of an encoder's layers, then a linear layer, as one matrix product.

Shapes: B batch, T frames, L layers, D width of a layer, P projected width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LayerMix(nn.Module):
    """``Linear(sum_l softmax(w)_l x_l)``; equal weights at the start, as in SUPERB."""

    def __init__(self, num_layers: int, dim: int, projection: int | None) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(num_layers))
        self.projection = nn.Linear(dim, projection) if projection else None
        self.output_size = projection or dim

    def weights(self) -> Tensor:
        """(L,) share of each layer, summing to 1."""
        return self.logits.softmax(0)

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, L, D) -> (B, T, P)."""
        shares = self.weights()
        if self.projection is None:
            return torch.einsum("btld,l->btd", features.to(shares.dtype), shares)
        # Both steps are linear: W (w_1 x_1 + ...) = [w_1 W, w_2 W, ...] [x_1, x_2, ...]
        weight = shares[None, :, None] * self.projection.weight[:, None, :]  # (P, L, D)
        return F.linear(
            cast_like(features, shares).flatten(2), weight.flatten(1), self.projection.bias
        )


def cast_like(features: Tensor, parameters: Tensor) -> Tensor:
    """16-bit features as the computation needs them; under autocast they may stay as they are."""
    kind = features.device.type
    if torch.is_autocast_enabled(kind) and features.dtype == torch.get_autocast_dtype(kind):
        return features
    return features.to(parameters.dtype)
