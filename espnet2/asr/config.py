"""Configuration of the downstream side: encoders, features, the probe. No torch in here."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from espnet2.utils.errors import ConfigError

TASKS = ("multi", "lid", "joint")


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """One encoder of the matrix; its weights never change."""

    kind: Literal["export", "random", "fbank"]
    """export: an exported SSL model. random: the same architecture, untrained. fbank: no model."""

    path: Path | None = None
    """Export folder (config.yaml + checkpoint) of export and random; None: --export."""

    seed: int = 1
    """Seed of the weights of random."""


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """Frozen features: how they are made, and when they are kept on disk."""

    dtype: Literal["bfloat16", "float16"] = "bfloat16"
    """Type on disk; the probe computes in its own type."""

    centre: bool = True
    """Subtract each utterance's mean. By linearity this is the benchmark's normalisation of the
    mixed layers (ESPnet's utterance_mvn), done once and before rounding to 16 bits."""

    batch_s: float = 40.0
    """Padded seconds of audio in one forward of the encoder."""

    amp: Literal["auto", "bfloat16", "float32"] = "auto"
    """Type of the encoder's forward; auto: bfloat16 where the device multiplies it in hardware."""

    disk_budget_gb: float = 50.0
    """A split whose features need more than this is not stored: cells run the encoder instead."""

    chunk_s: float = 1800.0
    """Seconds of audio in one file: what is lost when the extraction is killed."""


@dataclass(frozen=True, kw_only=True)
class SpecAugConfig:
    """SpecAugment (arXiv 1904.08779) with the benchmark's values."""

    time_warp_window: int = 5
    """Frames by which a random point in time may move; 0: no warping."""

    num_freq_mask: int = 2
    """Bands to mask."""

    freq_mask_width: int = 27
    """A band's width is drawn from 0 to below this."""

    num_time_mask: int = 10
    """Stretches of time to mask."""

    time_mask_ratio: float = 0.05
    """A stretch's length is drawn from 0 to this share of the utterance."""


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """The benchmark's downstream model; the defaults are its sizes."""

    projection: int | None = 80
    """Width after the linear layer on the mixed encoder layers; None: no such layer."""

    conv_channels: int | None = None
    """Channels of the two convolutions of the subsampling; None: ``output_size``."""

    output_size: int = 256
    """Width of the transformer."""

    attention_heads: int = 8
    linear_units: int = 1024
    num_blocks: int = 2
    dropout_rate: float = 0.1
    """Dropout of feed-forward, attention output, attention weights and positions."""

    specaug: SpecAugConfig | None = field(default_factory=SpecAugConfig)
    """None: no SpecAugment."""

    def __post_init__(self) -> None:
        if self.output_size % self.attention_heads or self.output_size % 2:
            raise ConfigError(
                f"output_size must be even and a multiple of attention_heads, got "
                f"{self.output_size} and {self.attention_heads}"
            )


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """How utterances become batches."""

    batch_s: float = 80.0
    """Padded seconds of one micro-batch."""

    bucket_s: float = 0.5
    """Lengths are padded to a multiple of this: few distinct shapes, little padding."""
