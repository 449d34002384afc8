"""Low-rank additions to an encoder's linear layers (arXiv 2106.09685), by ``peft``."""

import warnings

import numpy as np
import torch
from torch import nn

from espnet2.asr.config import TuneConfig
from espnet2.asr.network import Network
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.utils.errors import ConfigError
from espnet2.utils.seeding import seed_for

MARK = "lora_"  # in the names of peft's parameters


def add_lora(network: Network, config: TuneConfig, seed: int) -> None:
    """Give the blocks' linear layers additions that are zero so far; only those may learn.

    The first weights are a function of the seed alone.

    Raises:
        ConfigError: peft is missing, no linear layer of the blocks has such a name, or one is
            never called, so that an addition to it would learn nothing.
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
        refuse_unheard(network)


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


@torch.no_grad()
def refuse_unheard(network: Network) -> None:
    """Hear half a second of silence, and see that every addition takes part."""
    added = {name: m for name, m in network.named_modules() if hasattr(m, "lora_A")}
    silent = set(added)
    hooks = [
        module.register_forward_hook(lambda *_, name=name: silent.discard(name))
        for name, module in added.items()
    ]
    wave = np.zeros(SAMPLE_RATE_HZ // 2, dtype=np.float32)
    network.eval().layers(network.prepare(wave)[None], [len(wave)])
    for hook in hooks:
        hook.remove()
    if silent:
        raise ConfigError(
            f"tune: lora_targets: {min(silent).rsplit('.', 1)[-1]} hands its weights past the "
            "layer: nothing would be learned there; name other layers of the blocks"
        )
