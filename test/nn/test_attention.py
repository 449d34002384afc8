"""Attention: padding, and the switch between kernels."""

import pytest
import torch
import torch.nn.functional as F

from espnet2.nn import attention
from espnet2.nn.attention import SelfAttention, plain_attend
from espnet2.nn.padding import padding_for
from espnet2.utils.errors import XeusError


def layer_and_input():
    torch.manual_seed(0)
    return SelfAttention(dim=16, num_heads=2).eval(), torch.randn(2, 7, 16)


def test_padding_does_not_change_the_answer():
    layer, x = layer_and_input()
    alone = layer(x, None)
    padded = torch.cat([x, torch.full((2, 3, 16), 1e4)], dim=1)
    padding = padding_for([7, 7], 10, "cpu")
    torch.testing.assert_close(layer(padded, padding)[:, :7], alone)


@pytest.mark.parametrize("lengths", [[7, 7], [7, 4]])
def test_every_kernel_gives_the_same_answer_on_real_frames(lengths):
    layer, x = layer_and_input()
    padding = padding_for(lengths, 7, "cpu")
    answers = []
    for switch in (None, True, False):
        layer.use_flash_attn = switch
        answers.append(layer(x, padding))
    layer.use_flash_attn = None
    with torch.no_grad():  # torch's own choice; with a gradient the formula is used
        answers.append(layer(x, padding))
    for b, length in enumerate(lengths):
        for answer in answers[1:]:
            torch.testing.assert_close(answer[b, :length], answers[0][b, :length])


def test_a_switched_layer_says_which_kernel_runs(capsys):
    attention.log_kernel.cache_clear()
    layer, x = layer_and_input()
    layer.use_flash_attn = True
    layer(x, None)
    layer(x, None)
    assert capsys.readouterr().err.count("attention: flash kernel on cpu, torch.float32") == 1
    layer.use_flash_attn = False
    layer(x, None)
    assert "attention: plain (no flash) kernel" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_unavailable_flash_kernel_is_an_error_and_not_a_slow_path():
    layer = SelfAttention(dim=16, num_heads=2, dropout_rate=0.5).train()
    layer.use_flash_attn = True
    with pytest.raises(XeusError, match="no flash attention kernel runs here .*dropout 0.5"):
        layer(torch.randn(2, 7, 16), None)


@pytest.mark.parametrize("has_padding", [True, False])
def test_the_plain_formula_is_torchs_attention_in_value_and_gradient(has_padding):
    inputs = torch.randn(3, 2, 2, 5, 4, dtype=torch.float64).requires_grad_()
    q, k, v = inputs.unbind(0)
    keep = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).bool()[:, None, None, :]
    keep = keep if has_padding else None
    ours = plain_attend(q, k, v, keep, 0.0)
    theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=keep)
    torch.testing.assert_close(ours, theirs)
    dy = torch.randn_like(ours)
    ours, theirs = (torch.autograd.grad(y, inputs, dy)[0] for y in (ours, theirs))
    torch.testing.assert_close(ours, theirs)


def test_the_plain_formulas_dropout_has_the_gradient_of_what_it_did():
    inputs = [torch.randn(1, 2, 6, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]

    def attend(q, k, v):
        torch.manual_seed(0)  # the same values dropped at every call
        return plain_attend(q, k, v, None, 0.3)

    assert not torch.equal(attend(*inputs), plain_attend(*inputs, None, 0.0))
    assert torch.autograd.gradcheck(attend, inputs)


def test_training_on_a_cpu_keeps_no_matrix_of_frames_by_frames():
    kept = []
    layer, x = SelfAttention(dim=16, num_heads=2, dropout_rate=0.1), torch.randn(2, 31, 16)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer(x, None)
    square = [t.dtype for t in kept if t.shape[-2:] == (31, 31)]
    assert square == [torch.bool]


def test_layers_put_in_place_of_linear_ones_are_called():
    layer, x = SelfAttention(8, 2), torch.randn(2, 5, 8)
    plain = layer(x, None)
    layer.linear_v = torch.nn.Sequential(layer.linear_v)  # as adapters do, with their own on top
    torch.testing.assert_close(layer(x, None), plain)
    with torch.no_grad():
        layer.linear_v.append(torch.nn.Linear(8, 8))
        assert not torch.allclose(layer(x, None), plain, atol=1e-3)
