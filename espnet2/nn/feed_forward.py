"""The position-wise feed-forward layer."""

from __future__ import annotations

from torch import Tensor, nn

ACTIVATIONS = {
    "swish": nn.SiLU,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "hardtanh": nn.Hardtanh,
    "selu": nn.SELU,
    "identity": nn.Identity,
}


class FeedForward(nn.Module):
    """Linear, activation, dropout, linear."""

    def __init__(self, dim: int, hidden_dim: int, dropout_rate: float, activation: str = "swish"):
        super().__init__()
        self.w_1 = nn.Linear(dim, hidden_dim)
        self.w_2 = nn.Linear(hidden_dim, dim)
        self.activation = ACTIVATIONS[activation]()
        self.dropout = nn.Dropout(dropout_rate)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (..., D) -> (..., D)."""
        return self.w_2(self.dropout(self.activation(self.w_1(x))))
