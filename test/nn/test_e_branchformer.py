"""The encoder as a whole, and its parts that have an equal in torch."""

import pytest
import torch
from torch.nn.utils.parametrizations import weight_norm

from espnet2.nn.depthwise_conv import depthwise_conv
from espnet2.nn.padding import padding_for
from espnet2.nn.positions import ConvPositions, SinusoidPositions
from espnet2.nn.utterance_mvn import UtteranceMVN
from espnet2.ssl.encoder_config import EncoderConfig
from espnet2.ssl.factory import build_encoder


def encoder(**changes):
    torch.manual_seed(0)
    conf = {"output_size": 32, "attention_heads": 2, "num_blocks": 2, "cgmlp_linear_units": 24}
    conf |= {"cgmlp_conv_kernel": 7, "linear_units": 16, "merge_conv_kernel": 5}
    conf |= {"use_ffn": True, "macaron_ffn": True, "dropout_rate": 0.0}
    return build_encoder(EncoderConfig(**{**conf, **changes}), 32)


def test_espnets_calling_form_returns_states_and_lengths():
    model, x = encoder().eval(), torch.randn(2, 9, 32)
    lengths = torch.tensor([9, 6])
    is_pad = torch.arange(9) >= lengths[:, None]
    (output, states), frames, none = model(x, lengths, masks=is_pad, return_all_hs=True)
    assert len(states) == 2
    assert none is None
    assert torch.equal(frames, lengths)
    torch.testing.assert_close(output, model.after_norm(states[-1]))
    torch.testing.assert_close(model(x, lengths)[0], output)
    assert model.output_size() == 32


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pos_enc_layer_type": "abs_pos", "input_layer": "linear"},
        {"pos_enc_layer_type": "none", "use_ffn": False, "macaron_ffn": False},
        {"use_linear_after_conv": True, "gate_activation": "swish", "macaron_ffn": False},
    ],
)
def test_garbage_on_padding_does_not_change_real_frames(changes):
    model, x = encoder(**changes).eval(), torch.randn(2, 9, 32)
    alone = model(x[1:, :6], torch.tensor([6]))[0]
    x[1, 6:] = 1e3
    together = model(x, torch.tensor([9, 6]))[0]
    torch.testing.assert_close(together[1:, :6], alone, atol=1e-5, rtol=1e-4)


def test_flash_on_every_block_equals_the_default_in_a_padded_batch():
    model, x = encoder().eval(), torch.randn(2, 9, 32)
    lengths = torch.tensor([9, 6])
    default = model(x, lengths)[0]
    for block in model.encoders:
        block.use_flash_attn = True
        assert block.attn.use_flash_attn is True
    flash = model(x, lengths)[0]
    torch.testing.assert_close(flash[0], default[0])
    torch.testing.assert_close(flash[1, :6], default[1, :6])


@pytest.mark.parametrize("how", [{"activation_ckpt": True}, {"gradient_checkpoint_layers": (2,)}])
def test_checkpointed_activations_give_the_same_gradient(how):
    plain, saving = encoder().train(), encoder(**how).train()
    x = torch.randn(2, 9, 32)
    for model in (plain, saving):
        model(x, torch.tensor([9, 9]))[0].square().sum().backward()
    for (name, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)


def test_conv_positions_are_a_weight_normed_convolution_without_residual():
    ours = ConvPositions(32)
    conv = torch.nn.Conv1d(32, 32, 128, padding=64, groups=16)
    with torch.no_grad():
        conv.weight.copy_(ours.conv.weight_v)
        conv.bias.copy_(ours.conv.bias)
    normed = weight_norm(conv, dim=2)
    x = torch.randn(2, 50, 32)
    theirs = torch.nn.functional.gelu(normed(x.transpose(1, 2))[..., :-1]).transpose(1, 2)
    torch.testing.assert_close(ours(x), theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dim", [32, 64, 128, 192, 256])
def test_conv_positions_are_right_in_bfloat16_too(dim):
    torch.manual_seed(0)
    layer, x = ConvPositions(dim), torch.randn(2, 99, dim)
    exact = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = layer(x).float()
    assert (rounded - exact).norm() < 0.01 * exact.norm()


def test_sinusoids_start_with_zeros_and_ones():
    y = SinusoidPositions(4)(torch.zeros(1, 2, 4))
    expected = [[0, 1, 0, 1], [0.841471, 0.540302, 0.0099998, 0.99995]]
    torch.testing.assert_close(y[0], torch.tensor(expected), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kernel", [1, 5, 31])
def test_depthwise_convolution_equals_conv1d_in_value_and_gradient(kernel):
    torch.manual_seed(0)
    x = torch.randn(2, 11, 6, requires_grad=True)
    conv = torch.nn.Conv1d(6, 6, kernel, padding=(kernel - 1) // 2, groups=6)
    inputs = [x, conv.weight, conv.bias]
    ours = depthwise_conv(x, conv.weight, conv.bias)
    theirs = conv(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(ours, theirs)
    grad = torch.randn_like(theirs)
    for a, b in zip(
        torch.autograd.grad(ours, inputs, grad),
        torch.autograd.grad(theirs, inputs, grad),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_utterance_mvn_ignores_padding_and_keeps_it_zero():
    x = torch.randn(2, 6, 3)
    y = UtteranceMVN(norm_vars=True)(x, padding_for([6, 4], 6, "cpu"))
    assert y[1, 4:].abs().max() == 0
    torch.testing.assert_close(y[1, :4].mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(y[1, :4].std(0, correction=0), torch.ones(3))
