"""A probe as ESPnet 202511 knows it: the ASR YAML of the benchmark, and weights by ESPnet's names.

``ASRTask.build_model_from_file`` of ESPnet loads both. ESPnet has one token more, ``<sos/eos>``,
which CTC never writes: its row is so unlikely that it changes no other probability.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from espnet2.asr.config import ProbeConfig, SpecAugConfig
from espnet2.asr.ctc_model import CTCModel
from espnet2.asr.vocabulary import LANGUAGE
from espnet2.utils.errors import ConfigError

END = "<sos/eos>"
NEVER = -1e4  # score of <sos/eos>
BLOCK = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attention.out": "self_attn.linear_out",
    "up": "feed_forward.w_1",
    "down": "feed_forward.w_2",
}
QKV = ("linear_q", "linear_k", "linear_v")
PARTS = {
    "mix.logits": "frontend.featurizer.weights",
    "projection": "preencoder.linear_out",
    "subsampling.conv1": "encoder.embed.conv.0",
    "subsampling.conv2": "encoder.embed.conv.2",
    "subsampling.out": "encoder.embed.out.0",
    "transformer.norm": "encoder.after_norm",
    "output": "ctc.ctc_lo",
    "conditioning": "encoder.conditioning_layer",
}


def espnet_state(model: CTCModel) -> dict[str, Tensor]:
    """The probe's weights by ESPnet's names, ``<sos/eos>`` added; the encoder is not among them.

    Raises:
        ConfigError: its layers are divided by their standard deviation, which ESPnet does not do.
    """
    refuse_normalised(model.mix.scale is not None)
    channels, state = model.subsampling.conv2.out_channels, {}
    for name, tensor in model.state_dict().items():
        for theirs, part in espnet_parts(name, tensor, channels):
            state[theirs] = part.detach().cpu().clone()
    return state


def refuse_normalised(is_normalised: bool) -> None:
    """Raise ConfigError for a probe whose layers are divided by their standard deviation."""
    if is_normalised:
        raise ConfigError("ESPnet mixes layers as they come; features.normalise is std")


def espnet_parts(name: str, tensor: Tensor, channels: int) -> Iterator[tuple[str, Tensor]]:
    """(ESPnet's name, tensor) of each part of one of our tensors."""
    if name == "subsampling.out.weight":  # (D, F x channels), theirs (D, channels x F)
        yield "encoder.embed.out.0.weight", tensor.unflatten(1, (-1, channels)).mT.flatten(1)
    elif name in PARTS:
        yield PARTS[name], tensor
    elif name.startswith("transformer.blocks."):
        number, part = name.removeprefix("transformer.blocks.").split(".", 1)
        part, kind = part.rsplit(".", 1)
        where = f"encoder.encoders.{number}"
        if part == "attention.qkv":
            for theirs, third in zip(QKV, tensor.chunk(3), strict=True):
                yield f"{where}.self_attn.{theirs}.{kind}", third
        else:
            yield f"{where}.{BLOCK[part]}.{kind}", tensor
    else:
        layer, kind = name.rsplit(".", 1)
        yield f"{PARTS[layer]}.{kind}", with_end(layer, kind, tensor)


def with_end(layer: str, kind: str, tensor: Tensor) -> Tensor:
    """What knows tokens, with one more: never chosen by the output, unseen by the conditioning."""
    if layer == "output":
        fill = NEVER if kind == "bias" else 0.0
        return torch.cat([tensor, tensor.new_full((1, *tensor.shape[1:]), fill)])
    if layer == "conditioning" and kind == "weight":
        return torch.cat([tensor, tensor.new_zeros(len(tensor), 1)], dim=1)
    return tensor


def espnet_yaml(
    probe: ProbeConfig,
    tokens: list[str],
    encoder: Path,
    input_size: int,
    training: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The YAML with which ESPnet builds and trains this probe.

    ``tokens``: of the vocabulary; ``encoder``: the .pth of an SSL model in ESPnet's layout, its
    config.yaml beside it; ``input_size``: its width. ``training``: keys of ESPnet's training to
    change, over the benchmark's.

    Raises:
        ConfigError: ESPnet has no such probe.
    """
    if probe.conv_channels not in (None, probe.output_size):
        raise ConfigError(
            f"ESPnet's subsampling has as many channels as the transformer is wide, "
            f"{probe.output_size}; conv_channels is {probe.conv_channels}"
        )
    return {
        **token_keys(tokens),
        **frontend_keys(encoder),
        **specaug_keys(probe.specaug),
        "normalize": "utterance_mvn",
        "normalize_conf": {},
        **projection_keys(probe, input_size),
        "encoder": "transformer",
        "encoder_conf": encoder_keys(probe),
        "postencoder": None,
        "postencoder_conf": {},
        "decoder": None,
        "decoder_conf": {},
        "model_conf": model_keys(probe),
        "ctc_conf": {"ctc_type": "builtin", "dropout_rate": 0.0},
        "init": None,
        **({"aux_ctc_tasks": ["lid"]} if probe.lid_weight else {}),
        **TRAINING,
        **(training or {}),
    }


TRAINING = {
    "optim": "adam",
    "optim_conf": {"lr": 1e-4, "weight_decay": 1e-6},
    "batch_type": "sorted",
    "batch_size": 8,
    "accum_grad": 4,
    "max_epoch": 30,
    "num_iters_per_epoch": 10000,
    "patience": None,
    "best_model_criterion": [["valid", "loss", "min"]],
    "keep_nbest_models": 5,
}
"""The benchmark's training in the 10-minute track (arXiv 2305.10615)."""


def token_keys(tokens: list[str]) -> dict[str, Any]:
    """The vocabulary, and how ESPnet finds its tokens in a text."""
    return {
        "token_list": [*tokens, END],
        "token_type": "char",
        "bpemodel": None,
        "non_linguistic_symbols": [t for t in tokens if LANGUAGE.match(t)] or None,
        "cleaner": None,
        "g2p": None,
    }


def frontend_keys(encoder: Path) -> dict[str, Any]:
    """A frozen SSL model, the outputs of its blocks mixed."""
    return {
        "input_size": None,
        "frontend": "espnet_ssl",
        "frontend_conf": {
            "frontend_conf": {"path_or_url": str(encoder)},
            "multilayer_feature": True,
            "mask_feats": False,
            "use_final_output": False,
        },
        "freeze_param": ["frontend.upstream"],
        "unused_parameters": True,
    }


def projection_keys(probe: ProbeConfig, input_size: int) -> dict[str, Any]:
    """``preencoder`` and ``preencoder_conf``."""
    if probe.projection is None:
        return {"preencoder": None, "preencoder_conf": {}}
    sizes = {"input_size": input_size, "output_size": probe.projection}
    return {"preencoder": "linear", "preencoder_conf": sizes}


def specaug_keys(config: SpecAugConfig | None) -> dict[str, Any]:
    """``specaug`` and ``specaug_conf``."""
    if config is None:
        return {"specaug": None, "specaug_conf": {}}
    return {
        "specaug": "specaug",
        "specaug_conf": {
            "apply_time_warp": config.time_warp_window > 0,
            "time_warp_window": config.time_warp_window,
            "time_warp_mode": "bicubic",
            "apply_freq_mask": config.num_freq_mask > 0,
            "freq_mask_width_range": [0, config.freq_mask_width],
            "num_freq_mask": config.num_freq_mask,
            "apply_time_mask": config.num_time_mask > 0,
            "time_mask_width_ratio_range": [0.0, config.time_mask_ratio],
            "num_time_mask": config.num_time_mask,
        },
    }


def encoder_keys(probe: ProbeConfig) -> dict[str, Any]:
    """``encoder_conf``."""
    keys = {
        "output_size": probe.output_size,
        "attention_heads": probe.attention_heads,
        "linear_units": probe.linear_units,
        "num_blocks": probe.num_blocks,
        "dropout_rate": probe.dropout_rate,
        "positional_dropout_rate": probe.dropout_rate,
        "attention_dropout_rate": probe.dropout_rate,
        "input_layer": "conv2d2",
        "normalize_before": True,
    }
    if probe.taps:
        keys["interctc_layer_idx"] = probe.taps
        keys["interctc_use_conditioning"] = probe.self_conditioned
    return keys


def model_keys(probe: ProbeConfig) -> dict[str, Any]:
    """``model_conf``.

    Raises:
        ConfigError: losses that ESPnet cannot weigh so: it has one target a block and one weight
            for them all.
    """
    keys = {"ctc_weight": 1.0, "length_normalized_loss": False, "lsm_weight": 0.0}
    if not probe.taps:
        return keys
    texts = len(probe.interctc_layers)
    share = probe.interctc_weight / texts if texts else probe.lid_weight
    if probe.lid_weight and (
        probe.lid_layer in probe.interctc_layers or abs(share - probe.lid_weight) > 1e-9
    ):
        raise ConfigError(
            f"ESPnet weighs all of interctc_layers and lid_layer alike, each with its own target; "
            f"block {probe.lid_layer} has lid_weight {probe.lid_weight:g}, the others {share:g} "
            f"each"
        )
    keys["interctc_weight"] = share * len(probe.taps)
    if probe.lid_weight:
        keys["aux_ctc"] = {str(probe.lid_layer): "lid"}
    return keys
