"""The pre-encoder: a linear layer between front end and encoder."""

from __future__ import annotations

from torch import Tensor, nn

from espnet2.nn.dropout import Dropout


class LinearProjection(nn.Module):
    """(B, T, C) -> (B, T, D). Takes and gives lengths, as ESPnet's pre-encoders do."""

    def __init__(self, input_size: int, output_size: int, dropout: float = 0.0):
        super().__init__()
        self.linear_out = nn.Linear(input_size, output_size)
        self.dropout = Dropout(dropout)

    def output_size(self) -> int:
        """Width of the output."""
        return self.linear_out.out_features

    def forward(self, x: Tensor, lengths=None):
        """``x`` (B, T, C) and anything as lengths -> (B, T, D), the same lengths."""
        return self.linear_out(self.dropout(x)), lengths
