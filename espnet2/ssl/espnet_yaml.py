"""A model's configuration as ESPnet from PyPI (202412 and later) reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from espnet2.ssl.config import SSLModelConfig
from espnet2.ssl.encoder_config import EncoderConfig
from espnet2.ssl.part_configs import LossConfig
from espnet2.utils.config import to_dict
from espnet2.utils.errors import ConfigError


def espnet_yaml(config: SSLModelConfig) -> dict[str, Any]:
    """The keys from which ESPnet builds the same model.

    Defaults are written out, because several of ESPnet's build another encoder. The checkpoint fits
    and the features are the same. In training, ESPnet has no weight for visible frames, no feature
    penalty and, for ``input_layer: wav2vec``, no dropout after the positions.

    Raises:
        ConfigError: the model has a part that ESPnet lacks (one line each).
    """
    problems = list(unknown_to_espnet(config))
    if problems:
        raise ConfigError("\n".join(problems))
    preencoder = {}
    if config.preencoder is not None:
        preencoder = {"output_size": input_width(config), "dropout": config.preencoder.dropout}
    return {
        "input_size": None,
        "frontend": "wav2vec_cnn",
        "frontend_conf": to_dict(config.frontend),
        "specaug": None,
        "specaug_conf": {},
        "normalize": None if config.normalize is None else "utterance_mvn",
        "normalize_conf": {} if config.normalize is None else to_dict(config.normalize),
        "preencoder": None if config.preencoder is None else "linear",
        "preencoder_conf": preencoder,
        "encoder": "e_branchformer",
        "encoder_conf": encoder_conf(config.encoder),
        "util": [{"name": "mask", "conf": to_dict(config.masker)}],
        "loss": [{"name": "hubert", "conf": loss_conf(loss)} for loss in config.losses],
        "model": "espnet",
        "model_conf": to_dict(config.model),
        "init": config.init,
    }


def unknown_to_espnet(config: SSLModelConfig) -> Iterator[str]:
    """What ESPnet cannot build, one sentence each."""
    if config.encoder.pos_enc_layer_type == "none":
        yield "encoder_conf: ESPnet has no pos_enc_layer_type none"
    if not config.losses:
        yield "loss: ESPnet builds no masker for a model without a loss"
    if any(loss.kind == "hubert" for loss in config.losses):
        yield "loss: ESPnet has no cosine loss (hubert); its loss of that name is our hubert_ce"
    if input_width(config) != config.encoder.output_size:
        yield (
            f"encoder_conf: ESPnet masks the encoder's input, {input_width(config)} wide, with a "
            f"vector of its output_size {config.encoder.output_size}; the two must be equal"
        )


def input_width(config: SSLModelConfig) -> int:
    """Width of what the encoder reads."""
    if config.preencoder is None:
        return config.frontend.shapes[-1][0]
    return config.preencoder.output_size or config.encoder.output_size


def encoder_conf(encoder: EncoderConfig) -> dict[str, Any]:
    """``encoder_conf`` without our own additions."""
    conf = to_dict(encoder)
    if conf.pop("activation_ckpt"):
        conf["gradient_checkpoint_layers"] = list(range(1, encoder.num_blocks + 1))
    conf["input_layer"] = "linear" if encoder.input_layer == "linear" else None
    if encoder.use_flash_attn is None:
        del conf["use_flash_attn"]  # ESPnet's choice; it takes no null here
    return conf


def loss_conf(loss: LossConfig) -> dict[str, Any]:
    """``conf`` of ESPnet's linear head."""
    weights = loss.layer_weights or (1.0,) * len(loss.layers)
    return {
        "num_classes": loss.num_classes,
        "final_dim": loss.final_dim,
        "layers": list(loss.layers),
        "loss_weights": list(weights),
    }
