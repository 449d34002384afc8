"""``encoder: e_branchformer`` and its ``encoder_conf`` (ESPnet's names and numbers)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from espnet2.utils.errors import ConfigError

SIZES = (
    "output_size", "attention_heads", "cgmlp_linear_units", "cgmlp_conv_kernel", "num_blocks",
    "linear_units", "merge_conv_kernel",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The encoder. What is not supported is refused by name rather than ignored."""

    output_size: int = 256
    """Model width D (XEUS: 1024)."""

    attention_heads: int = 4
    """Heads of the attention (XEUS: 8)."""

    attention_layer_type: Literal["selfattn"] = "selfattn"
    """Absolute attention only; rel_selfattn and fast_selfattn are not supported."""

    pos_enc_layer_type: Literal["conv", "abs_pos", "none"] = "conv"
    """conv: replaces its input (XEUS); abs_pos: sinusoids; none."""

    rel_pos_type: str = "latest"
    """Accepted for ESPnet's sake: there are no relative positions here."""

    max_pos_emb_len: int = 5000
    """Accepted for ESPnet's sake: sinusoids have any length."""

    cgmlp_linear_units: int = 2048
    """Hidden units of the convolutional gating MLP (XEUS: 4096)."""

    cgmlp_conv_kernel: int = 31
    """Kernel of its gate, odd."""

    use_linear_after_conv: bool = False
    """A linear layer after the gate's convolution."""

    gate_activation: Literal["identity", "swish", "relu", "tanh", "hardtanh", "selu"] = "identity"
    """Activation of the gate."""

    num_blocks: int = 12
    """Blocks (XEUS: 19)."""

    dropout_rate: float = 0.1
    """Dropout of branches, feed-forwards and gate."""

    positional_dropout_rate: float = 0.1
    """Dropout after sinusoidal positions."""

    attention_dropout_rate: float = 0.0
    """Dropout of the attention weights (XEUS: 0.1)."""

    input_layer: Literal["linear", "wav2vec", "none"] | None = None
    """None: positions only; wav2vec: positions and dropout; linear: linear, norm, dropout too."""

    use_ffn: bool = False
    """Feed-forward layers (XEUS: true)."""

    macaron_ffn: bool = False
    """A second one before attention, each at half weight (XEUS: true)."""

    ffn_activation_type: Literal["swish", "relu", "tanh", "hardtanh", "selu"] = "swish"
    """Activation of the feed-forward layers."""

    linear_units: int = 2048
    """Hidden units of the feed-forward layers (XEUS: 4096)."""

    positionwise_layer_type: Literal["linear"] = "linear"
    """Linear feed-forward layers only."""

    merge_conv_kernel: int = 3
    """Kernel of the depthwise convolution that merges the branches, odd (XEUS: 31)."""

    use_flash_attn: bool | None = None
    """None or true: torch chooses the attention kernel; false: never flash attention."""

    activation_ckpt: bool = False
    """Training computes every block's activations twice and stores them once."""

    gradient_checkpoint_layers: tuple[int, ...] = ()
    """The same for single blocks, counted from 1 (ESPnet's numbering; 0 has no effect)."""

    layer_drop_rate: float = 0.0
    """Not supported: must be 0, as are the next four at their defaults."""

    zero_triu: Literal[False] = False
    padding_idx: int = -1
    interctc_layer_idx: tuple[Any, ...] | None = None
    interctc_use_conditioning: Literal[False] = False
    qk_norm: Literal[False] = False

    def __post_init__(self) -> None:
        problems = list(self.problems())
        if problems:
            raise ConfigError("\n".join(f"encoder_conf: {problem}" for problem in problems))

    def problems(self) -> Iterator[str]:
        """What cannot be built, one sentence each."""
        small = [name for name in SIZES if getattr(self, name) < 1]
        yield from (f"{name} must be at least 1, got {getattr(self, name)}" for name in small)
        if small:
            return
        for name in ("dropout_rate", "positional_dropout_rate", "attention_dropout_rate"):
            if not 0 <= getattr(self, name) < 1:
                yield f"{name} must be 0 or more and below 1, got {getattr(self, name)}"
        if self.output_size % self.attention_heads:
            yield (
                f"output_size {self.output_size} must be a multiple of attention_heads "
                f"{self.attention_heads}"
            )
        if self.pos_enc_layer_type == "conv" and self.output_size % 16:
            yield f"output_size {self.output_size} must be a multiple of 16 for conv positions"
        for name in ("cgmlp_conv_kernel", "merge_conv_kernel"):
            if getattr(self, name) % 2 == 0:
                yield f"{name} must be odd, got {getattr(self, name)}"
        if self.cgmlp_linear_units % 2:
            yield f"cgmlp_linear_units must be even, got {self.cgmlp_linear_units}"
        if self.macaron_ffn and not self.use_ffn:
            yield "macaron_ffn needs use_ffn"
        if self.layer_drop_rate != 0:
            yield "layer_drop_rate must be 0: layer drop is not supported"
        if self.interctc_layer_idx:
            yield "interctc_layer_idx must be empty: intermediate CTC is not supported"
        for index in self.gradient_checkpoint_layers:
            if not 0 <= index <= self.num_blocks:
                yield f"gradient_checkpoint_layers: there is no block {index}"
