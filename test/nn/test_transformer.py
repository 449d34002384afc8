"""The transformer: its size, its norms, its independence of padding."""

import pytest
import torch
import torch.nn.functional as F

from espnet2.nn.cnn_frontend import CNNFrontend
from espnet2.nn.transformer import TransformerLayer, WaveformTransformer

SHAPES = [(8, 10, 5), *[(8, 3, 2)] * 4, *[(8, 2, 2)] * 2]
LARGE = [(512, 10, 5), *[(512, 3, 2)] * 4, *[(512, 2, 2)] * 2]


def tiny(norm_first, norm_mode="layer_norm", num_layers=2):
    torch.manual_seed(0)
    layers = [TransformerLayer(16, 2, 24, norm_first) for _ in range(num_layers)]
    model = WaveformTransformer(CNNFrontend(SHAPES, norm_mode), 16, 8, 4, layers)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def test_wavlablm_ms_has_as_many_parameters_as_its_sizes_say():
    with torch.device("meta"):
        layers = [TransformerLayer(1024, 16, 4096, norm_first=True) for _ in range(24)]
        model = WaveformTransformer(CNNFrontend(LARGE, bias=False), 1024, 128, 16, layers)
    cnn = 512 * 10 + 512 * 512 * (4 * 3 + 2 * 2) + 7 * 2 * 512
    projection = 2 * 512 + 512 * 1024 + 1024
    positions = 1024 * (1024 // 16) * 128 + 128 + 1024
    layer = 4 * (1024 + 1) * 1024 + (1024 + 1) * 4096 + (4096 + 1) * 1024 + 2 * 2 * 1024
    assert sum(parameter.numel() for parameter in model.parameters()) == (
        cnn + projection + positions + 24 * layer
    )
    assert cnn + projection + positions + 24 * layer == 315_432_064


@pytest.mark.parametrize("norm_first", [True, False])
@torch.no_grad()
def test_equals_the_papers_arithmetic_written_out(norm_first):
    model = tiny(norm_first, num_layers=1)
    speech = torch.randn(2, 2000)
    x, frames = model.frontend(speech, [2000, 2000])
    assert frames == [6, 6]
    x = model.projection(model.norm_features(x))
    conv = model.positions.conv
    y = F.conv1d(x.transpose(1, 2), conv.weight(), conv.bias, padding=4, groups=4)[..., :-1]
    x = x + F.gelu(y).transpose(1, 2)
    (layer,) = model.layers
    attn, wide = layer.attn, layer.feed_forward

    def attended(x):
        q, k, v = (
            part(x).unflatten(2, (2, 8)).transpose(1, 2)
            for part in (attn.linear_q, attn.linear_k, attn.linear_v)
        )
        weights = (q @ k.transpose(2, 3) / 8**0.5).softmax(-1)
        return attn.linear_out((weights @ v).transpose(1, 2).flatten(2))

    def widened(x):
        return wide.w_2(F.gelu(wide.w_1(x)))

    if norm_first:
        x = x + attended(layer.norm_attn(x))
        x = x + widened(layer.norm_ff(x))
    else:
        x = model.norm_input(x)
        x = layer.norm_attn(x + attended(x))
        x = layer.norm_ff(x + widened(x))
    torch.testing.assert_close(model(speech, [2000, 2000])[0], x)


@pytest.mark.parametrize("norm_mode", ["layer_norm", "group_norm"])
@pytest.mark.parametrize("norm_first", [True, False])
@torch.no_grad()
def test_an_utterance_does_not_depend_on_its_batch(norm_first, norm_mode):
    model, lengths = tiny(norm_first, norm_mode), [3000, 400, 2111]
    speech = torch.randn(3, 3400)
    together, frames = model(speech, lengths)
    assert frames == [9, 1, 6]
    assert together.shape == (3, 10, 16)  # the frames of 3400 samples, which none has
    for index, (length, count) in enumerate(zip(lengths, frames, strict=True)):
        alone, _ = model(speech[index : index + 1, :length], [length])
        torch.testing.assert_close(together[index, :count], alone[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("norm_first", [True, False])
@torch.no_grad()
def test_under_autocast_the_layers_add_to_float32(norm_first):
    model, inputs = tiny(norm_first), []
    for layer in model.layers:
        layer.register_forward_pre_hook(lambda _, args: inputs.append(args[0].dtype))
    speech = torch.randn(1, 4000)
    exact, _ = model(speech, [4000])
    with torch.autocast("cpu", torch.bfloat16):
        rounded, _ = model(speech, [4000])
    assert inputs == [torch.float32] * 4
    assert 0 < (rounded - exact).abs().max() / exact.abs().max() < 0.05
