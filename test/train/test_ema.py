"""The running mean of the weights."""

import torch
from torch import nn

from espnet2.train.ema import Ema


def test_the_mean_follows_its_formula():
    model = nn.Linear(2, 1)
    expected = model.weight.detach().clone()
    ema = Ema(model, 0.9)
    for step in range(5):
        with torch.no_grad():
            model.weight.add_(step)
        ema.update()
        expected = 0.9 * expected + 0.1 * model.weight.detach()
    torch.testing.assert_close(ema.means["weight"], expected)


def test_the_model_has_its_own_weights_again_after_use():
    model = nn.Linear(2, 1)
    ema = Ema(model, 0.5)
    with torch.no_grad():
        model.weight.add_(4)
    own = model.weight.detach().clone()
    ema.update()
    with ema.in_use():
        torch.testing.assert_close(model.weight.detach(), own - 2)
    assert torch.equal(model.weight, own)
    torch.testing.assert_close(ema.means["weight"], own - 2)


def test_saved_means_go_on():
    model = nn.Linear(2, 1)
    ema, other = Ema(model, 0.5), Ema(nn.Linear(2, 1), 0.5)
    other.load_state_dict({name: mean.clone() for name, mean in ema.state_dict().items()})
    assert torch.equal(other.means["weight"], ema.means["weight"])


def test_whole_numbers_are_left_out():
    model = nn.BatchNorm1d(3)
    assert "num_batches_tracked" not in Ema(model, 0.5).means
