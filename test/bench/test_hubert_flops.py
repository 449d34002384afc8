"""The closed form of a HuBERT's arithmetic gives what torch counts, and twice its weights."""

import dataclasses

import torch
from torch.utils.flop_counter import FlopCounterMode

from espnet2.bench.gpu_label import TINY, WAVLABLM
from espnet2.bench.hubert_flops import hubert_flops
from espnet2.ssl.flops import cnn_flops
from espnet2.tokens.teachers.hubert_config import build_hubert


def test_the_layers_of_a_hubert_cost_what_torch_counts():
    layers, frames = build_hubert(TINY).layers, 24
    x = torch.randn(1, frames, TINY.encoder_embed_dim)
    few, many = (
        hubert_flops(dataclasses.replace(TINY, encoder_num_layers=count), frames)
        for count in (1, 1 + len(layers))
    )
    with FlopCounterMode(display=False) as counter:
        for layer in layers:
            layer(x, None)
    assert counter.get_total_flops() == many - few


def test_a_second_of_audio_costs_wavlablm_twice_its_weights_and_the_cnn():
    layers = 24 * (4 * 1024**2 + 2 * 1024 * 4096)  # weights of all matrices
    frames = 500
    attention = 24 * 4 * frames * 1024
    rest = cnn_flops(WAVLABLM.shapes) + 2 * 512 * 1024 + 2 * 1024 * 64 * 128
    assert hubert_flops(WAVLABLM, frames) == frames * (2 * layers + attention + rest)
