"""Per-utterance mean and variance normalisation of features."""

from __future__ import annotations

from torch import Tensor, nn

from espnet2.nn.padding import Padding, zero_padding


class UtteranceMVN(nn.Module):
    """Subtract each utterance's mean over its own frames; padding stays zero."""

    def __init__(self, norm_means: bool = True, norm_vars: bool = False, eps: float = 1e-20):
        super().__init__()
        self.norm_means, self.norm_vars, self.eps = norm_means, norm_vars, eps

    def forward(self, x: Tensor, padding: Padding | None) -> Tensor:
        """``x`` (B, T, C) -> (B, T, C)."""
        x = zero_padding(x, padding)
        count = x.shape[1] if padding is None else (~padding.is_pad).sum(1)[:, None, None]
        centred = zero_padding(x - x.sum(1, keepdim=True) / count, padding)
        if self.norm_vars:
            var = (centred if self.norm_means else x).square().sum(1, keepdim=True) / count
            scale = var.clamp(min=self.eps).rsqrt()
        else:
            scale = 1.0
        return (centred if self.norm_means else x) * scale
