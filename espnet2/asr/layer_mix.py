"""Learned weighted sum of an encoder's layers.

Shapes: B batch, T frames, L layers, D width of a layer.
"""

import torch
from torch import Tensor, nn


class LayerMix(nn.Module):
    """``sum_l softmax(w)_l x_l``; equal weights at the start, as in SUPERB (arXiv 2105.01051).

    With ``layer_std`` (L,) each layer is divided by its standard deviation first.
    """

    def __init__(self, num_layers: int, layer_std: list[float] | None = None) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(num_layers))
        scale = None if layer_std is None else 1 / torch.tensor(layer_std)
        self.register_buffer("scale", scale, persistent=False)  # config.yaml of a cell has it

    def weights(self) -> Tensor:
        """(L,) share of each layer, summing to 1."""
        return self.logits.softmax(0)

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, L, D) -> (B, T, D)."""
        shares = self.weights()
        if self.scale is not None:
            shares = shares * self.scale
        frames = features.to(shares.dtype).flatten(0, 1)  # (BT, L, D)
        # A product a frame reads the features in their order: half the time of einsum's copy.
        rows = shares[None, None, :].expand(len(frames), 1, -1)
        return (rows @ frames).view(*features.shape[:2], features.shape[3])
