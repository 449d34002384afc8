"""Arithmetic of a HuBERT in closed form, counted as ``ssl.flops`` counts."""

from __future__ import annotations

from espnet2.ssl.flops import cnn_flops
from espnet2.tokens.teachers.hubert_config import HubertConfig


def hubert_flops(config: HubertConfig, num_frames: int) -> float:
    """FLOPs of one utterance through all layers of a HuBERT, without pre-training's head."""
    dim, kernel = config.encoder_embed_dim, config.encoder_pos_conv_kernel
    layer = (
        4 * 2.0 * dim * dim + 4.0 * num_frames * dim + 4.0 * dim * config.encoder_ff_interm_features
    )
    below = cnn_flops(config.shapes) + 2.0 * config.shapes[-1][0] * dim
    positions = 2.0 * dim * (dim // config.encoder_pos_conv_groups) * kernel
    return num_frames * (below + positions + config.encoder_num_layers * layer)
