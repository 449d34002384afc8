"""Dropout keeps the mean, follows torch's generator, and is off outside training."""

import pytest
import torch

from espnet2.nn.dropout import Dropout, drop, drop_again, random_keep


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5, 0.9])
def test_the_share_asked_for_is_dropped_and_the_mean_kept(rate):
    torch.manual_seed(0)
    y, keep = drop(torch.ones(1000, 1001), rate)
    assert keep.float().mean() == pytest.approx(1 - rate, abs=0.002)
    assert y.mean() == pytest.approx(1, abs=0.005)
    assert torch.equal(y != 0, keep)


def test_values_are_dropped_independently():
    torch.manual_seed(0)
    keep = random_keep(torch.Size([100_000, 4]), 0.5).double()
    correlation = torch.corrcoef(keep.t()) - torch.eye(4)
    assert correlation.abs().max() < 0.015


def test_the_same_generator_state_drops_the_same_values():
    x = torch.randn(7, 13)
    torch.manual_seed(3)
    one = drop(x, 0.3)[0]
    again = drop(x, 0.3)[0]
    torch.manual_seed(3)
    assert torch.equal(drop(x, 0.3)[0], one)
    assert not torch.equal(again, one)


def test_the_gradient_is_the_same_dropout():
    x = torch.randn(5, 6, requires_grad=True)
    y, keep = drop(x, 0.4)
    grad = torch.randn(5, 6)
    assert torch.equal(torch.autograd.grad(y, x, grad)[0], drop_again(grad, keep, 0.4))


def test_nothing_is_dropped_in_eval_or_at_rate_zero_and_everything_at_rate_one():
    x = torch.randn(50, 50)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
    assert (Dropout(1.0)(x) == 0).all()
    assert (Dropout(0.5)(x) == 0).any()
    assert str(Dropout(0.25)) == "Dropout(0.25)"


def test_bfloat16_stays_bfloat16():
    assert drop(torch.ones(8, dtype=torch.bfloat16), 0.5)[0].dtype == torch.bfloat16
