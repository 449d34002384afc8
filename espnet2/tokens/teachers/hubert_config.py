"""The configuration of an ESPnet ``HubertTask`` model whose encoder is torchaudio's HuBERT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from espnet2.data.frames import HOP_SAMPLES, RECEPTIVE_SAMPLES
from espnet2.nn.cnn_frontend import CNNFrontend
from espnet2.nn.transformer import TransformerLayer, WaveformTransformer
from espnet2.ssl.config import choose, model_keys, refuse_misspelt, without
from espnet2.ssl.part_configs import WAV2VEC_SHAPES
from espnet2.utils.config import from_dict
from espnet2.utils.errors import ConfigError

ENCODER = "torchaudio_hubert"

# Keys of encoder_conf that say nothing about the output of a trained layer.
_TRAINING = """
encoder_projection_dropout encoder_attention_dropout encoder_ff_interm_dropout encoder_dropout
encoder_layer_drop mask_prob mask_selection mask_other mask_length no_mask_overlap mask_min_space
mask_channel_prob mask_channel_selection mask_channel_other mask_channel_length
no_mask_channel_overlap mask_channel_min_space skip_masked skip_nomask num_classes final_dim
feature_grad_mult finetuning freeze_encoder_updates input_size
"""


@dataclass(frozen=True, kw_only=True)
class HubertConfig:
    """``encoder_conf``, under ESPnet's names and with its defaults (HuBERT Base)."""

    extractor_mode: Literal["group_norm", "layer_norm"] = "group_norm"
    """group_norm: over time, first layer of the CNN only; layer_norm: over channels at each."""

    extractor_conv_layer_config: tuple[tuple[int, int, int], ...] | None = None
    """(channels, kernel, stride) of each convolution; None: wav2vec 2.0's seven."""

    extractor_conv_bias: bool = False
    """Whether the convolutions have a bias."""

    encoder_embed_dim: int = 768
    """Model width."""

    encoder_pos_conv_kernel: int = 128
    """Frames that the convolution of the positions sees."""

    encoder_pos_conv_groups: int = 16
    """Its groups."""

    encoder_num_layers: int = 12
    """Layers of the transformer."""

    encoder_num_heads: int = 12
    """Heads of its attention."""

    encoder_ff_interm_features: int = 3072
    """Hidden width of its feed-forward."""

    encoder_layer_norm_first: bool = False
    """Pre-norm layers (Large) instead of post-norm ones (Base)."""

    @classmethod
    def from_espnet(cls, data: Mapping[str, Any], where: str) -> HubertConfig:
        """Read ESPnet's flat keys; keys of training are ignored.

        Raises:
            ConfigError: another encoder, a model that reads no plain waveform, an unknown key
                (with a guess), a wrong value.
        """
        part, rest = model_keys(data)
        refuse_misspelt(rest, where)
        if "encoder" not in part:
            raise ConfigError(f"{where}: encoder is missing; it must be {ENCODER}")
        choose(part, "encoder", (ENCODER,), where)
        if data.get("input_size") is None:  # ESPnet reads no front end beside an input_size
            choose(part, "frontend", (None,), where)
        for key in ("normalize", "preencoder"):
            choose(part, key, (None,), where)
        conf = without(part.get("encoder_conf") or {}, tuple(_TRAINING.split()))
        config = from_dict(cls, conf, f"{where}: encoder_conf")
        config.check(f"{where}: encoder_conf")
        return config

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(channels, kernel, stride) of each convolution."""
        return self.extractor_conv_layer_config or WAV2VEC_SHAPES

    def check(self, where: str) -> None:
        """Refuse sizes that make no model, and another frame rate than that of the labels."""
        for name, value in vars(self).items():
            if type(value) is int and value < 1:
                raise ConfigError(f"{where}: {name} must be positive, got {value}")
        for name in ("encoder_num_heads", "encoder_pos_conv_groups"):
            if self.encoder_embed_dim % getattr(self, name):
                raise ConfigError(
                    f"{where}: {name} {getattr(self, name)} does not divide encoder_embed_dim "
                    f"{self.encoder_embed_dim}"
                )
        if any(c < 1 or not 1 <= s <= k for c, k, s in self.shapes):
            raise ConfigError(
                f"{where}: extractor_conv_layer_config must be (channels, kernel, stride) with "
                f"kernel >= stride >= 1, got {self.shapes}"
            )
        window, hop = 1, 1
        for _, kernel, stride in reversed(self.shapes):
            window, hop = (window - 1) * stride + kernel, hop * stride
        if (window, hop) != (RECEPTIVE_SAMPLES, HOP_SAMPLES):
            raise ConfigError(
                f"{where}: extractor_conv_layer_config makes frames of {window} samples every "
                f"{hop}; labels need {RECEPTIVE_SAMPLES} every {HOP_SAMPLES}"
            )


def build_hubert(config: HubertConfig) -> WaveformTransformer:
    """The network of a configuration, with all its layers."""
    dim = config.encoder_embed_dim
    return WaveformTransformer(
        frontend=CNNFrontend(
            config.shapes, norm_mode=config.extractor_mode, bias=config.extractor_conv_bias
        ),
        dim=dim,
        pos_kernel=config.encoder_pos_conv_kernel,
        pos_groups=config.encoder_pos_conv_groups,
        layers=[
            TransformerLayer(
                dim,
                config.encoder_num_heads,
                config.encoder_ff_interm_features,
                config.encoder_layer_norm_first,
            )
            for _ in range(config.encoder_num_layers)
        ],
    )
