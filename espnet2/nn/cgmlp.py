"""The convolutional gating MLP of the (E-)Branchformer (arXiv 2207.02971).

Shapes: B batch, T frames, D model width, U hidden units.
"""

from __future__ import annotations

from torch import Tensor, nn

from espnet2.nn.activations import ACTIVATIONS
from espnet2.nn.depthwise_conv import depthwise_conv
from espnet2.nn.dropout import Dropout
from espnet2.nn.padding import Padding, zero_padding

GATE_WEIGHT_STD = 1e-6  # the gate starts as the constant 1, so a new block passes its input on


class SpatialGate(nn.Module):
    """One half of the channels, convolved over time, gates the other half."""

    def __init__(
        self,
        units: int,
        kernel: int,
        dropout_rate: float,
        use_linear: bool,
        activation: str,
        eps: float,
    ):
        super().__init__()
        half = units // 2
        self.norm = nn.LayerNorm(half, eps=eps)
        self.conv = nn.Conv1d(half, half, kernel, padding=(kernel - 1) // 2, groups=half)
        self.linear = nn.Linear(half, half) if use_linear else None
        self.activation = ACTIVATIONS[activation].function
        self.dropout = Dropout(dropout_rate)
        self.reset_gate()

    def reset_gate(self) -> None:
        """Make the gate (nearly) the constant 1."""
        for layer in (self.conv, self.linear):
            if layer is not None:
                nn.init.normal_(layer.weight, std=GATE_WEIGHT_STD)
                nn.init.ones_(layer.bias)

    def forward(self, x: Tensor, padding: Padding | None) -> Tensor:
        """``x`` (B, T, U) -> (B, T, U/2)."""
        passed, gate = x.chunk(2, dim=-1)  # each (B, T, U/2)
        gate = zero_padding(self.norm(gate), padding)
        gate = depthwise_conv(gate, self.conv.weight, self.conv.bias)
        if self.linear is not None:
            gate = self.linear(gate)
        return self.dropout(passed * self.activation(gate))


class ConvGatingMLP(nn.Module):
    """Linear, GELU, spatial gate, linear."""

    def __init__(
        self,
        dim: int,
        units: int,
        kernel: int,
        dropout_rate: float = 0.0,
        use_linear: bool = False,
        activation: str = "identity",
        eps: float = 1e-12,
    ):
        super().__init__()
        self.channel_proj1 = nn.Sequential(nn.Linear(dim, units), nn.GELU())
        self.csgu = SpatialGate(units, kernel, dropout_rate, use_linear, activation, eps)
        self.channel_proj2 = nn.Linear(units // 2, dim)

    def forward(self, x: Tensor, padding: Padding | None) -> Tensor:
        """``x`` (B, T, D) -> (B, T, D)."""
        return self.channel_proj2(self.csgu(self.channel_proj1(x), padding))
