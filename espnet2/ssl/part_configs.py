"""The configuration of each part but the encoder, under ESPnet's names (``*_conf``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from espnet2.ssl.spans import SpanRule
from espnet2.utils.errors import ConfigError

WAV2VEC_SHAPES = ((512, 10, 5), *((512, 3, 2),) * 4, *((512, 2, 2),) * 2)
MIN_SPANS = 2  # wav2vec 2.0, HuBERT and XEUS mask at least two spans an utterance


@dataclass(frozen=True, kw_only=True)
class FrontendConfig:
    """``frontend: wav2vec_cnn``."""

    shapes: tuple[tuple[int, int, int], ...] = WAV2VEC_SHAPES
    """(channels, kernel, stride) of each convolution; 512 channels, hop 320, window 400."""

    norm_mode: Literal["layer_norm", "group_norm"] = "layer_norm"
    """layer_norm: over channels at each layer; group_norm: over time, first layer only."""

    conv_mode: Literal["standard"] = "standard"
    """Only plain convolutions."""

    bias: bool = True
    """Whether the convolutions have a bias."""

    fs: int | str = 16000
    """Sample rate, Hz (or 16k); only 16 kHz is supported."""

    normalize_audio: bool = False
    """Zero mean, unit variance waveform for each utterance (XEUS: true)."""

    normalize_output: bool = False
    """A last layer norm (new layout only; XEUS: false)."""

    layer_norm_cls: Literal["transposed", "dim1"] = "transposed"
    """Accepted for ESPnet's sake: both name the same arithmetic."""

    def __post_init__(self) -> None:
        if self.fs not in (16000, "16k", "16000"):
            raise ConfigError(f"frontend_conf: fs must be 16000 (or 16k), got {self.fs!r}")
        if not self.shapes or any(c < 1 or not 1 <= s <= k for c, k, s in self.shapes):
            raise ConfigError(
                "frontend_conf: shapes must be (channels, kernel, stride) with kernel >= stride "
                f">= 1, got {self.shapes}"
            )


@dataclass(frozen=True, kw_only=True)
class PreencoderConfig:
    """``preencoder: linear``."""

    output_size: int | None = None
    """Width of the output; None: the encoder's."""

    input_size: int | None = None
    """Accepted for ESPnet's sake; must equal the front end's width."""

    dropout: float = 0.0
    """Dropout before the projection."""


@dataclass(frozen=True, kw_only=True)
class NormalizeConfig:
    """``normalize: utterance_mvn``."""

    norm_means: bool = True
    """Subtract the mean."""

    norm_vars: bool = False
    """Divide by the standard deviation."""

    eps: float = 1.0e-20
    """Smallest variance."""


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """``masker_conf`` or ``util: [{name: mask}]``. XEUS: 0.8, 10, uniform, 0."""

    mask_prob: float = 0.8
    """Expected span starts a frame, times the span length (wav2vec 2.0)."""

    mask_length: int = 10
    """Length of a span, in frames."""

    mask_selection: Literal["static", "uniform", "normal", "poisson"] = "static"
    """Distribution of span lengths."""

    mask_other: float = 0.0
    """uniform: shortest span; normal: standard deviation; else unused."""

    no_mask_overlap: bool = False
    """Keep spans apart; else they may overlap."""

    mask_min_space: int = 0
    """Frames between two spans that are kept apart, at least."""

    mask_channel_prob: float = 0.0
    """The same for channels, which are set to zero for a whole utterance; 0: none."""

    mask_channel_selection: Literal["static", "uniform", "normal", "poisson"] = "static"
    """Distribution of the numbers of neighbouring channels."""

    mask_channel_other: float = 0.0
    """As ``mask_other``."""

    mask_channel_length: int = 10
    """Neighbouring channels of a span."""

    no_mask_channel_overlap: bool = False
    """As ``no_mask_overlap``."""

    mask_channel_min_space: int = 0
    """As ``mask_min_space``."""

    def __post_init__(self) -> None:
        _ = self.spans, self.channel_spans  # each refuses settings that cannot be

    @property
    def spans(self) -> SpanRule:
        """How spans of frames are drawn."""
        return SpanRule(
            name="mask",
            prob=self.mask_prob,
            length=self.mask_length,
            selection=self.mask_selection,
            other=self.mask_other,
            overlap=not self.no_mask_overlap,
            min_space=self.mask_min_space,
            min_spans=MIN_SPANS,
        )

    @property
    def channel_spans(self) -> SpanRule:
        """How spans of channels are drawn."""
        return SpanRule(
            name="mask_channel",
            prob=self.mask_channel_prob,
            length=self.mask_channel_length,
            selection=self.mask_channel_selection,
            other=self.mask_channel_other,
            overlap=not self.no_mask_channel_overlap,
            min_space=self.mask_channel_min_space,
            min_spans=0,
        )


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """One masked prediction loss (``loss_conf``)."""

    kind: Literal["hubert_ce", "hubert"] = "hubert_ce"
    """hubert_ce: linear head; hubert: cosine to class embeddings. Logits / 0.1 in both."""

    num_classes: int
    """Clusters of the codebook (XEUS: 2048)."""

    final_dim: int = 768
    """Width between the two matrices of the head (XEUS: 768)."""

    masked_weight: float = 1.0
    """Weight of the masked frames' loss."""

    unmasked_weight: float = 0.0
    """Weight of the visible frames' loss (HuBERT's pred_nomask_weight)."""

    layers: tuple[int, ...] = (-1,)
    """Hidden states the head reads, from 0; the last one means the final norm's output."""

    layer_weights: tuple[float, ...] | None = None
    """One weight a layer; None: all 1."""

    def __post_init__(self) -> None:
        if not self.layers or self.num_classes < 2:
            raise ConfigError("loss_conf: layers must not be empty, num_classes at least 2")
        weights = self.layer_weights
        if weights is not None and len(weights) != len(self.layers):
            raise ConfigError(
                f"loss_conf: layer_weights must hold one weight a layer: {len(weights)} weights "
                f"for {len(self.layers)} layers"
            )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """``model_conf``."""

    feature_grad_mult: float | None = None
    """Factor on the front end's gradient; None: 0.1 in the old spelling, 1 in the new."""

    feature_penalty_weight: float | None = None
    """Factor on mean(features^2) a masked frame; None: 10 in the old spelling, 0 in the new."""

    extract_feats_in_collect_stats: bool = True
    """Accepted for ESPnet's sake; nothing reads it."""

    ignore_id: int = -1
    """Accepted for ESPnet's sake; padding is known from the lengths."""
