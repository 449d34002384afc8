"""The front end: its frames, its arithmetic, its independence of padding."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from espnet2.data.frames import HOP_SAMPLES, RECEPTIVE_SAMPLES, num_frames
from espnet2.nn.cnn_frontend import CNNFrontend

SHAPES = [(8, 10, 5), *[(8, 3, 2)] * 4, *[(8, 2, 2)] * 2]
GOLDEN = Path(__file__).parent.parent / "golden/ssl_parts.json"
FRAMES = json.loads(GOLDEN.read_text())["conv_len"]  # [samples, frames] of the reference


@pytest.mark.parametrize(("samples", "frames"), FRAMES)
def test_number_of_frames_is_the_references_and_the_data_grids(samples, frames):
    assert CNNFrontend(SHAPES).num_frames(samples) == frames == num_frames(samples)


def test_hop_and_window_are_those_of_the_data_grid():
    frontend = CNNFrontend(SHAPES)
    assert frontend.hop_samples == HOP_SAMPLES
    assert frontend.receptive_samples == RECEPTIVE_SAMPLES


def conv1d_stack(frontend, x):
    """The same weights as plain convolutions and norms over (B, C, T)."""
    x = x[:, None]
    for index, layer in enumerate(frontend.layers):
        x = layer.conv(x)
        norm = layer.layer_norm
        if isinstance(norm, torch.nn.LayerNorm):
            x = norm(x.transpose(1, 2)).transpose(1, 2)
        elif index == 0:
            x = F.group_norm(x, x.shape[1], norm.weight, norm.bias)
        x = F.gelu(x)
    return x.transpose(1, 2)


@pytest.mark.parametrize("norm_mode", ["layer_norm", "group_norm"])
@pytest.mark.parametrize("samples", [400, 719, 1600, 3201])
@torch.no_grad()
def test_equals_a_stack_of_conv1d_layers(norm_mode, samples):
    torch.manual_seed(0)
    frontend = CNNFrontend(SHAPES, norm_mode=norm_mode)
    speech = torch.randn(2, samples)
    feats, lengths = frontend(speech, [samples, samples])
    theirs = conv1d_stack(frontend, speech)
    assert lengths == [theirs.shape[1]] * 2
    torch.testing.assert_close(feats, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("norm_mode", ["layer_norm", "group_norm"])
@torch.no_grad()
def test_padding_does_not_change_an_utterance(norm_mode):
    torch.manual_seed(0)
    frontend = CNNFrontend(SHAPES, norm_mode=norm_mode, normalize_audio=True)
    speech = torch.randn(1, 2000) + 0.5
    alone, _ = frontend(speech, [2000])
    louder = 50 * torch.randn(1, 4000)
    padded = torch.cat([torch.cat([speech, torch.full((1, 2000), 9.0)], 1), louder])
    together, lengths = frontend(padded, [2000, 4000])
    torch.testing.assert_close(together[:1, : lengths[0]], alone, atol=1e-5, rtol=1e-4)


def test_a_batch_of_short_utterances_has_as_many_frames_as_it_is_wide():
    frontend = CNNFrontend(SHAPES, normalize_audio=True)
    feats, lengths = frontend(torch.randn(2, 2000), [1000, 400])
    assert feats.shape[1] == frontend.num_frames(2000) == 6
    assert lengths == [2, 1]


def test_any_list_of_shapes_works():
    frontend = CNNFrontend([(3, 4, 3), (5, 5, 1), (2, 3, 2)])
    feats, lengths = frontend(torch.randn(2, 100), [100, 100])
    theirs = conv1d_stack(frontend, torch.ones(2, 100))
    assert feats.shape == theirs.shape
    assert lengths == [theirs.shape[1]] * 2
