"""Initial weights, as ESPnet's ``init`` key chooses them."""

from __future__ import annotations

from torch import nn

from espnet2.nn.cgmlp import SpatialGate
from espnet2.nn.cnn_frontend import TimeNorm


def xavier_uniform(model: nn.Module) -> None:
    """Xavier-uniform matrices, zero biases, default norms, gates open, as the reference does.

    As in the reference, the norms of the weight-normed positions (``weight_g``) are drawn too.
    """
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
        elif ".bias" in name:
            nn.init.zeros_(parameter)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm | TimeNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        if isinstance(module, SpatialGate):
            module.reset_gate()


INITIALIZERS = {"xavier_uniform": xavier_uniform}
