"""``XeusConfig``: config.json of a XEUS folder, in ESPnet's keys."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from transformers import PreTrainedConfig

from espnet2.asr.config import ProbeConfig
from espnet2.data.frames import HOP_SAMPLES
from espnet2.ssl.config import MODEL_TYPE, SSLModelConfig, model_keys
from espnet2.utils.config import from_dict

SUBSAMPLING = 2  # of the probe


@dataclass(frozen=True, kw_only=True)
class HearingConfig:
    """How the encoder's layers reach the probe: as they did when it was trained."""

    amp: Literal["auto", "bfloat16", "float32"] = "float32"
    """Type of the encoder's arithmetic. auto: bfloat16 where the device multiplies it; float32: as
    whoever calls the model has it, which may be autocast."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """What the layers are rounded to."""

    centre: bool = True
    """Whether each utterance's mean over time is taken off first."""

    mixes_input: bool = True
    """Whether the input of the first block is among the layers, or the blocks' outputs alone."""

    layer_std: list[float] | None = None
    """What each layer is divided by before they are mixed; None: nothing."""


class XeusConfig(PreTrainedConfig):
    """The keys of the model's config.yaml as attributes; what is left out has ESPnet's default.

    ``XeusForCTC`` has four more: ``probe`` (``ProbeConfig``), ``hearing`` (``HearingConfig``),
    ``vocab_size`` and ``pad_token_id``, which is the blank's: 0.
    """

    model_type: ClassVar[str] = MODEL_TYPE
    vocab_size: int | None = None
    pad_token_id: int | None = 0
    probe: dict[str, Any] | None = None
    hearing: dict[str, Any] | None = None

    def ssl_config(self) -> SSLModelConfig:
        """The encoder.

        Raises:
            ConfigError: a key that is unknown or cannot be used.
        """
        return SSLModelConfig.from_espnet(model_keys(vars(self))[0], "config.json")

    def probe_config(self) -> ProbeConfig:
        """What recognises, on top of the encoder.

        Raises:
            ConfigError: a key of ``probe`` is unknown or cannot be used.
        """
        return from_dict(ProbeConfig, self.probe or {}, "config.json: probe")

    def hearing_config(self) -> HearingConfig:
        """How the probe hears the encoder.

        Raises:
            ConfigError: a key of ``hearing`` is unknown or cannot be used.
        """
        return from_dict(HearingConfig, self.hearing or {}, "config.json: hearing")

    @property
    def hidden_size(self) -> int:
        """Width of the encoder."""
        return self.ssl_config().encoder.output_size

    @property
    def num_hidden_layers(self) -> int:
        """Blocks of the encoder."""
        return self.ssl_config().encoder.num_blocks

    @property
    def num_attention_heads(self) -> int:
        """Heads of a block's attention."""
        return self.ssl_config().encoder.attention_heads

    @property
    def inputs_to_logits_ratio(self) -> int:
        """Samples of audio to one row of logits: pipelines cut long recordings by it."""
        return HOP_SAMPLES * SUBSAMPLING
