"""What ``bench model`` builds and how much audio it gets: one configuration for both packages."""

from dataclasses import dataclass
from typing import Any

STRIDES = ((10, 5), *((3, 2),) * 4, *((2, 2),) * 2)  # (kernel, stride) of wav2vec 2.0's front end


@dataclass(frozen=True, kw_only=True)
class Size:
    """A model of XEUS's kind and the calls that are timed."""

    batch: int
    """Utterances of a call."""

    audio_s: float
    """Length of each, seconds."""

    width: int
    """Model width; heads of 64, or two."""

    blocks: int
    """E-Branchformer blocks."""

    units: int
    """Hidden units of the feed-forward layers and of the gating MLP."""

    channels: int
    """Channels of the convolutional front end."""

    classes: int
    """Clusters to predict."""

    masks: int
    """Masks that are drawn at once."""

    mask_frames: int
    """Frames of each."""

    @property
    def heads(self) -> int:
        """Attention heads."""
        return max(2, self.width // 64)


FULL = Size(
    batch=4, audio_s=10, width=256, blocks=8, units=1024, channels=512, classes=2048,
    masks=32, mask_frames=1000,
)  # fmt: skip
TINY = Size(
    batch=2, audio_s=0.5, width=32, blocks=1, units=32, channels=8, classes=16,
    masks=4, mask_frames=100,
)  # fmt: skip


def model_config(size: Size) -> dict[str, Any]:
    """ESPnet's flat keys, in the spelling of espnet 202511, that both packages build.

    Everything that ``size`` does not say is XEUS's: the front end's shape and normalisation,
    macaron feed-forward layers, kernels of 31, dropout 0.1, uniform span lengths.
    """
    return {
        "token_list": [str(label) for label in range(size.classes)],
        "input_size": None,
        "init": "xavier_uniform",
        "frontend": "wav2vec_cnn",
        "frontend_conf": {
            "shapes": [[size.channels, kernel, stride] for kernel, stride in STRIDES],
            "norm_mode": "layer_norm",
            "conv_mode": "standard",
            "bias": True,
            "normalize_audio": True,
        },
        "specaug": None,
        "specaug_conf": {},
        "normalize": None,
        "normalize_conf": {},
        "preencoder": "linear",
        "preencoder_conf": {"output_size": size.width},
        "encoder": "e_branchformer",
        "encoder_conf": encoder_conf(size),
        "loss": [{"name": "hubert", "conf": loss_conf(size)}],
        "util": [{"name": "mask", "conf": mask_conf()}],
        "model": "espnet",
        "model_conf": {},
    }


def encoder_conf(size: Size) -> dict[str, Any]:
    """The E-Branchformer."""
    return {
        "output_size": size.width,
        "attention_heads": size.heads,
        "attention_layer_type": "selfattn",
        "pos_enc_layer_type": "conv",
        "cgmlp_linear_units": size.units,
        "cgmlp_conv_kernel": 31,
        "num_blocks": size.blocks,
        "dropout_rate": 0.1,
        "attention_dropout_rate": 0.1,
        "input_layer": None,
        "use_ffn": True,
        "macaron_ffn": True,
        "linear_units": size.units,
        "merge_conv_kernel": 31,
    }


def loss_conf(size: Size) -> dict[str, Any]:
    """The linear head on the last state."""
    return {"num_classes": size.classes, "final_dim": size.width}


def mask_conf() -> dict[str, Any]:
    """XEUS's masks."""
    return {"mask_prob": 0.8, "mask_length": 10, "mask_selection": "uniform", "mask_other": 0.0}


def describe(size: Size) -> str:
    """The model in one sentence."""
    return (
        f"model: front end of {len(STRIDES)} layers with {size.channels} channels, "
        f"{size.blocks} E-Branchformer blocks of width {size.width} with {size.heads} heads, "
        f"{size.units} units in feed-forward and gating MLP, kernels of 31 and 31, "
        f"{size.classes} classes; dropout 0.1; float32"
    )
