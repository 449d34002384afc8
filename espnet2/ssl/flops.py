"""Arithmetic of a model in closed form: multiplications and additions of its matrix products.

Counted as two operations a multiply-add; norms, activations and softmax are left out. A profiler
is no substitute: torch.utils.flop_counter ignores groups in the gradient of a convolution's
weight. Frames are those of one utterance, because attention costs more in longer ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from typing import Any

from espnet2.data.frames import num_frames
from espnet2.nn.positions import GROUPS, KERNEL
from espnet2.ssl.config import SSLModelConfig
from espnet2.ssl.encoder_config import EncoderConfig

TRAINING = 3  # a backward pass multiplies twice as much as the forward pass


def forward_flops(config: SSLModelConfig, num_frames: int) -> dict[str, float]:
    """FLOPs a frame of the forward pass, by part, in an utterance of ``num_frames`` frames."""
    encoder = config.encoder
    width = config.frontend.shapes[-1][0]
    parts = {"cnn": cnn_flops(config.frontend.shapes)}
    if config.preencoder is not None:
        projected = config.preencoder.output_size or encoder.output_size
        parts["preencoder"] = 2.0 * width * projected
        width = projected
    parts["positions"] = embed_flops(encoder, width)
    for name, flops in block_flops(encoder, num_frames).items():
        parts[name] = encoder.num_blocks * flops
    parts["head"] = sum(
        2.0 * len(loss.layers) * loss.final_dim * (encoder.output_size + loss.num_classes)
        for loss in config.losses
    )
    return parts


def utterance_flops(config: SSLModelConfig, num_frames: int, has_head: bool = True) -> float:
    """FLOPs of one utterance's forward pass; encoding for features has no loss head."""
    parts = forward_flops(config, num_frames)
    return num_frames * (sum(parts.values()) - (0 if has_head else parts["head"]))


def training_flops(config: SSLModelConfig) -> Callable[[dict[str, Any]], float]:
    """A function from a batch to the FLOPs of training on it, forward and backward.

    It reads ``speech_lengths`` (B,), samples, which lie on the host. What is done twice to save
    memory counts once.
    """

    @lru_cache(maxsize=4096)
    def of(num_samples: int) -> float:
        return TRAINING * utterance_flops(config, num_frames(num_samples))

    return lambda batch: sum(map(of, batch["speech_lengths"].tolist()))


def cnn_flops(shapes: Sequence[tuple[int, int, int]]) -> float:
    """FLOPs of a convolutional front end for one frame of its last layer.

    ``shapes``: (channels, kernel, stride) of each layer.
    """
    total, in_dim = 0.0, 1
    for index, (channels, kernel, _) in enumerate(shapes):
        rows = prod(stride for _, _, stride in shapes[index + 1 :])
        total += 2.0 * in_dim * channels * kernel * rows
        in_dim = channels
    return total


def embed_flops(config: EncoderConfig, in_dim: int) -> float:
    """FLOPs a frame of input layer and positions."""
    dim = config.output_size
    total = 2.0 * in_dim * dim if config.input_layer == "linear" else 0.0
    if config.pos_enc_layer_type == "conv":
        total += 2.0 * dim * (dim // GROUPS) * KERNEL
    return total


def block_flops(config: EncoderConfig, num_frames: int) -> dict[str, float]:
    """FLOPs a frame of one E-Branchformer block, by part."""
    dim, half = config.output_size, config.cgmlp_linear_units // 2
    gating = 2.0 * dim * 2 * half + 2.0 * half * config.cgmlp_conv_kernel + 2.0 * half * dim
    if config.use_linear_after_conv:
        gating += 2.0 * half * half
    return {
        "feed_forward": 4.0 * dim * config.linear_units * (config.use_ffn + config.macaron_ffn),
        "gating": gating,
        "projections": 4 * 2.0 * dim * dim,
        "attention": 4.0 * num_frames * dim,
        "merge": 2.0 * 2 * dim * config.merge_conv_kernel + 2.0 * 2 * dim * dim,
    }
