"""Dividing, clipping and skipping on the device equal doing it by hand."""

import pytest
import torch
from torch import nn

from espnet2.train.config import OptimConfig
from espnet2.train.optim import build_optimizer, clipped_step, set_learning_rate
from espnet2.train.schedulers import WarmupLR


def two_weights(gradients=((3.0, 4.0), (12.0,))):
    weights = [nn.Parameter(torch.tensor([1.0, 2.0])), nn.Parameter(torch.tensor([3.0]))]
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = torch.tensor(gradient)
    return weights


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize("max_norm", [0.0, 0.5, 100.0])
def test_a_clipped_step_equals_torchs_clip_and_step(name, max_norm):
    conf = OptimConfig(lr=0.1, weight_decay=0.01)
    ours, theirs = two_weights(), two_weights([(0.3, 0.4), (1.2,)])
    norm, skipped = clipped_step(build_optimizer(ours, name, conf), torch.tensor(10.0), max_norm)
    if max_norm:
        nn.utils.clip_grad_norm_(theirs, max_norm)
    plain = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    plain(theirs, lr=0.1, weight_decay=0.01).step()
    assert norm.item() == pytest.approx(1.3)
    assert skipped.item() == 0
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_gradient_that_is_not_finite_moves_nothing(bad):
    weights = two_weights([(1.0, bad), (1.0,)])
    optimizer = build_optimizer(weights, "adam", OptimConfig(lr=0.1))
    norm, skipped = clipped_step(optimizer, torch.tensor(1.0), 1.0)
    assert (norm.item(), skipped.item()) == (0, 1)
    assert weights[0].tolist() == [1, 2]
    assert optimizer.state[weights[0]]["step"] == 0


def test_a_batch_without_a_single_unit_moves_nothing():
    weights = two_weights([(0.0, 0.0), (0.0,)])
    _, skipped = clipped_step(
        build_optimizer(weights, "adam", OptimConfig()), torch.tensor(0.0), 1.0
    )
    assert skipped.item() == 1


def test_frozen_parameters_are_left_out():
    weights = two_weights()
    weights[1].requires_grad_(False)
    optimizer = build_optimizer(weights, "adamw", OptimConfig())
    assert optimizer.param_groups[0]["params"] == [weights[0]]


def test_a_group_keeps_its_share_of_the_learning_rate_through_a_schedule():
    fast, slow = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    groups = [{"params": [fast]}, {"params": [slow], "lr": 0.01}]
    optimizer = build_optimizer(groups, "adam", OptimConfig(lr=0.1))
    schedule = WarmupLR(warmup_steps=10)
    assert set_learning_rate(optimizer, 0.1, schedule, 4) == pytest.approx(0.05)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.005])
    fast.grad, slow.grad = torch.ones(1), None  # one that does not learn yet
    clipped_step(optimizer, torch.tensor(1.0), 0.0)
    assert fast.item() == pytest.approx(-0.05, rel=1e-3)
    assert slow.item() == 0
