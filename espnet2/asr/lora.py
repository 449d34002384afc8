"""Low-rank additions to an encoder's linear layers (arXiv 2106.09685), by ``peft``."""

import warnings

import torch
from torch import nn

from espnet2.asr.config import TuneConfig
from espnet2.asr.network import Network
from espnet2.utils.errors import ConfigError
from espnet2.utils.seeding import seed_for

MARK = "lora_"  # in the names of peft's parameters


def add_lora(network: Network, config: TuneConfig, seed: int) -> None:
    """Give the blocks' linear layers additions that are zero so far; only those may learn.

    The first weights are a function of the seed alone.

    Raises:
        ConfigError: peft is missing, or no linear layer of the blocks has such a name.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ConfigError(
            f"tune: encoder: lora needs peft: pip install 'xeus[lora]' ({error})"
        ) from None
    targets = config.lora_targets or list(network.lora_targets)
    names = target_names(network, targets)
    settings = LoraConfig(
        r=config.lora_rank, lora_alpha=config.lora_alpha, lora_dropout=config.lora_dropout,
        target_modules=names,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of models that peft does not know
        torch.manual_seed(seed_for(seed, "lora"))
        inject_adapter_in_model(settings, network)


def target_names(network: Network, targets: list[str]) -> list[str]:
    """Full names of the blocks' linear layers whose last name is among ``targets``."""
    own = {module for block in network.blocks for module in block.modules()}
    linear = [
        name
        for name, module in network.named_modules()
        if module in own and isinstance(module, nn.Linear)
    ]
    found = {name.rsplit(".", 1)[-1] for name in linear}
    missing = sorted(set(targets) - found)
    if missing:
        raise ConfigError(
            f"tune: lora_targets: the encoder's blocks have no linear layer {missing[0]}; "
            f"there are {', '.join(sorted(found))}"
        )
    return [name for name in linear if name.rsplit(".", 1)[-1] in targets]
