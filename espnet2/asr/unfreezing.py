"""Which weights of an encoder learn, and from which step on (arXiv 1801.06146).

All is a function of the settings and the step: a resumed run has nothing to remember.
"""

from dataclasses import dataclass

from torch import nn

from espnet2.asr.config import TuneConfig
from espnet2.asr.lora import MARK
from espnet2.asr.network import Network
from espnet2.utils.errors import ConfigError


@dataclass(frozen=True)
class Stage:
    """Parts that begin to learn together."""

    first_step: int
    modules: list[nn.Module]  # in training mode from then on
    parameters: list[nn.Parameter]


def stages(network: Network, config: TuneConfig) -> list[Stage]:
    """The topmost block first; none for a frozen encoder.

    Raises:
        ConfigError: the encoder has no such block, or nothing that can learn.
    """
    if config.encoder == "frozen":
        return []
    if not network.blocks:
        raise ConfigError("tune: filter banks have nothing that can learn; set encoder: frozen")
    parts = [[block] for block in reversed(chosen_blocks(network, config))]
    if config.encoder == "full":
        below = list(network.below)
        below += [network.masker] * config.use_mask + network.frontend * config.frontend
        parts.append(below)
    is_lora = config.encoder == "lora"
    found = []
    for number, modules in enumerate(parts):
        parameters = [
            parameter
            for module in modules
            for name, parameter in module.named_parameters()
            if not is_lora or MARK in name
        ]
        first = config.freeze_steps + number * config.unfreeze_interval_steps
        if parameters:
            found.append(Stage(first, modules, parameters))
    return found


def chosen_blocks(network: Network, config: TuneConfig) -> list[nn.Module]:
    """The blocks that may learn, from bottom to top."""
    if config.encoder != "layers":
        return network.blocks
    beyond = [number for number in config.layers if number > len(network.blocks)]
    if beyond:
        raise ConfigError(
            f"tune: layers: the encoder has no block {beyond[0]}, it has {len(network.blocks)}"
        )
    return [network.blocks[number - 1] for number in sorted(config.layers)]
