"""Configuration of the downstream side: encoders, features, the probe. No torch in here."""

from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Literal

from espnet2.utils.errors import ConfigError

TokenKind = Literal["char", "phone", "bpe"]
Units = Literal["characters", "phones"]  # what is learned and scored

TASKS = ("mono", "multi", "lid", "joint")
"""Kinds of task. A cell of one language spells its own: ``mono-<iso>-<corpus>``."""


def task_kind(task: str) -> str:
    """Which of ``TASKS`` a cell's task is: ``mono-eng-mls`` is mono.

    Raises:
        ConfigError: it is none of them.
    """
    if task.startswith("mono-"):
        mono_parts(task)
        return "mono"
    if task not in TASKS or task == "mono":
        raise ConfigError(f"task {task!r} is not multi, lid, joint or mono-<iso>-<corpus>")
    return task


def mono_parts(task: str) -> tuple[str, str]:
    """Language and training corpus of ``mono-<iso>-<corpus>``; the corpus may have dashes.

    Raises:
        ConfigError: it is no such task.
    """
    kind, _, rest = task.partition("-")
    language, _, corpus = rest.partition("-")
    if kind != "mono" or not language or not corpus:
        raise ConfigError(f"task {task!r} is not mono-<iso>-<corpus>, like mono-eng-mls")
    return language, corpus


def mono_task(language: str, corpus: str) -> str:
    """``mono-eng-mls`` of eng and mls."""
    return f"mono-{language}-{corpus}"


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """One encoder of the matrix, as it is before any fine-tuning."""

    kind: Literal["export", "random", "fbank", "checkpoint", "hf"]
    """export: an exported SSL model. random: the same architecture, untrained. fbank: no model.
    checkpoint: a released .pth with its config.yaml beside it or one folder above.
    hf: a Hugging Face folder of HuBERT, WavLM, wav2vec 2.0 or w2v-BERT."""

    path: Path | None = None
    """Export folder (config.yaml + checkpoint) of export and random, None: --export; the .pth of
    checkpoint; the folder of hf."""

    seed: int = 1
    """Seed of the weights of random."""

    mixes_input: bool = True
    """Whether the probe may mix the input of the first block too, of export, random and checkpoint.
    False: the outputs of the blocks alone, as in the benchmark, where s3prl or ESPnet's
    ``espnet_ssl`` reads XEUS. A Hugging Face model always has its input, as in s3prl."""

    def __post_init__(self) -> None:
        if self.kind in ("checkpoint", "hf") and self.path is None:
            what = "the .pth file" if self.kind == "checkpoint" else "the model's folder"
            raise ConfigError(f"an encoder of kind {self.kind} needs path: {what}")

    @property
    def has_input(self) -> bool:
        """Whether the first of its layers is the input of the first block."""
        return self.mixes_input or self.kind in ("fbank", "hf")


@dataclass(frozen=True, kw_only=True)
class TuneConfig:
    """What of the encoder learns together with the probe, and how."""

    encoder: Literal["frozen", "full", "layers", "lora"] = "frozen"
    """frozen: nothing, so that features may be cached. full: all of it. layers: some blocks.
    lora: low-rank additions to its linear layers (arXiv 2106.09685)."""

    layers: list[int] = field(default_factory=list)
    """Blocks that learn, counted from 1, of layers; elsewhere left out."""

    encoder_lr: float = 1e-5
    """Peak learning rate of the encoder's weights; the probe has the cell's. One schedule."""

    freeze_steps: int = 0
    """Steps at the start in which the probe learns alone."""

    unfreeze_interval_steps: int = 0
    """Layer-wise unfreezing (arXiv 1801.06146): after ``freeze_steps`` the topmost block that may
    learn begins, the one below it so many steps later, and so on; what is below the blocks begins
    last. 0: all at once."""

    frontend: bool = False
    """Whether full includes the convolutions on the waveform, which fine-tuning leaves alone since
    wav2vec 2.0."""

    use_mask: bool = True
    """Mask spans of frames while training, as in pre-training: XEUS' authors recommend it."""

    mask_prob: float = 0.65
    """Expected span starts a frame, times the span length."""

    mask_length: int = 20
    """Length of a span, in frames of 20 ms."""

    mask_selection: Literal["static", "uniform", "normal", "poisson"] = "static"
    """Distribution of span lengths."""

    mask_other: float = 0.0
    """uniform: shortest span; normal: standard deviation; else unused."""

    gradient_checkpointing: bool = False
    """Compute the blocks' activations twice instead of keeping them: less memory, more time."""

    lora_rank: int = 8
    """Rank of the additions."""

    lora_alpha: float = 16.0
    """The additions are multiplied by this over the rank."""

    lora_dropout: float = 0.0
    """Dropout before the additions."""

    lora_targets: list[str] = field(default_factory=list)
    """Last parts of the names of the linear layers that get one; empty: those of attention."""

    def __post_init__(self) -> None:
        default = TuneConfig.__dataclass_fields__
        problems = []
        if self.encoder == "frozen":
            names = [name for name in default if name != "encoder"]
        else:
            names = ["layers"] * (self.encoder != "layers") + ["frontend"] * (
                self.encoder != "full"
            )
            names += [n for n in default if n.startswith("lora_")] * (self.encoder != "lora")
        for name in names:
            spec = default[name]
            usual = spec.default if spec.default is not MISSING else spec.default_factory()
            if getattr(self, name) != usual:
                problems.append(f"{name} means nothing with encoder: {self.encoder}")
        if self.encoder == "layers" and (
            not self.layers or min(self.layers) < 1 or len(set(self.layers)) != len(self.layers)
        ):
            problems.append(f"layers must name blocks from 1, none twice, got {self.layers}")
        if self.encoder_lr <= 0 or self.lora_rank < 1 or self.mask_length < 1:
            problems.append("encoder_lr, lora_rank and mask_length must be above 0")
        if min(self.freeze_steps, self.unfreeze_interval_steps) < 0:
            problems.append("freeze_steps and unfreeze_interval_steps must be at least 0")
        if not 0 <= self.mask_prob <= 1 or not 0 <= self.lora_dropout < 1:
            problems.append("mask_prob and lora_dropout are shares, from 0 to 1")
        if problems:
            raise ConfigError("tune: " + "; ".join(problems))


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """Frozen features: how they are made, and when they are kept on disk."""

    dtype: Literal["bfloat16", "float16"] = "bfloat16"
    """Type on disk; the probe computes in its own type."""

    centre: bool = True
    """Subtract each utterance's mean before rounding to 16 bits, which then costs less. The probe
    subtracts it in any case (ESPnet's utterance_mvn); but SpecAugment's zeros are the mean then, as
    in its paper. ESPnet sets raw features to zero and subtracts afterwards: that is False."""

    normalise: Literal["std"] | None = None
    """std: divide each layer by its standard deviation over the training split before mixing, so
    that the weights of the sum, not the layers' sizes, say how much of a layer is heard. It is one
    number a layer, of values less their utterance's mean, measured on a sample when the training
    split is encoded. None: as they come, as in the benchmark."""

    batch_s: float = 40.0
    """Padded seconds of audio in one forward of the encoder."""

    amp: Literal["auto", "bfloat16", "float32"] = "auto"
    """Type of the encoder's forward; auto: bfloat16 where the device multiplies it in hardware."""

    keep: Literal["auto", "always", "never"] = "auto"
    """Store features or run the encoder in every step: auto times a sample of both and takes the
    faster; what is small is stored."""

    disk_budget_gb: float = 50.0
    """A split whose features need more than this is never stored."""

    chunk_s: float = 1800.0
    """Seconds of audio in one file: what is lost when the extraction is killed."""


@dataclass(frozen=True, kw_only=True)
class SpecAugConfig:
    """SpecAugment (arXiv 1904.08779) with the benchmark's values, on the mixed layers."""

    time_warp_window: int = 5
    """Frames by which a random point in time may move; 0: no warping."""

    num_freq_mask: int = 2
    """Bands to mask, of the encoder's width."""

    freq_mask_width: int = 27
    """A band's width is drawn from 0 to below this."""

    num_time_mask: int = 10
    """Stretches of time to mask."""

    time_mask_ratio: float = 0.05
    """A stretch's length is drawn from 0 to below this share of the utterance."""


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

    interctc_layers: list[int] = field(default_factory=list)
    """Blocks, counted from 1, whose output is trained with the same CTC (arXiv 2102.03216)."""

    interctc_weight: float = 0.5
    """Weight of the mean loss of ``interctc_layers``, where there are any."""

    lid_weight: float = 0.0
    """Weight of a CTC loss on the language alone, through the same output layer
    (arXiv 2302.12829); the last block's own loss has what is left of 1."""

    lid_layer: int = 1
    """Block that learns the language where ``lid_weight`` is above 0."""

    self_conditioned: bool = False
    """Add what those blocks recognise to their output (arXiv 2104.02724)."""

    def __post_init__(self) -> None:
        problems = []
        if self.output_size % self.attention_heads or self.output_size % 2:
            problems.append(
                f"output_size must be even and a multiple of attention_heads, got "
                f"{self.output_size} and {self.attention_heads}"
            )
        if self.projection is not None and self.projection < 7:
            problems.append(
                f"projection must be at least 7 for two convolutions, got {self.projection}"
            )
        taps = self.interctc_layers
        if len(set(taps)) != len(taps) or not all(0 < n < self.num_blocks for n in self.taps):
            problems.append(
                f"interctc_layers and lid_layer must name blocks before the last of "
                f"{self.num_blocks}, none twice, got {taps} and {self.lid_layer}"
            )
        shares = (self.interctc_weight if taps else 0.0, self.lid_weight)
        if min(shares) < 0 or sum(shares) >= 1:
            problems.append(
                f"interctc_weight and lid_weight must leave the last block a share, got {shares}"
            )
        if self.self_conditioned and not self.taps:
            problems.append("self_conditioned needs interctc_layers or lid_weight")
        if problems:
            raise ConfigError("probe: " + "; ".join(problems))

    @property
    def taps(self) -> list[int]:
        """Blocks before the last that have a loss, in order."""
        return sorted({*self.interctc_layers, *([self.lid_layer] if self.lid_weight else [])})


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """How utterances become batches."""

    batch_s: float = 80.0
    """Padded seconds of one micro-batch."""

    bucket_s: float = 0.5
    """Lengths are padded to a multiple of this: few distinct shapes, little padding."""
