import numpy as np
import pytest
import torch

from espnet2.train.dynamics import cka

CPU = torch.device("cpu")


def features(seed, frames=300, width=12, shift=0.0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(width, width))
    return torch.from_numpy(rng.normal(size=(frames, width)) @ mixing + shift)


def by_kernels(x, y):
    """The definition by kernels of frames: HSIC(K, L) over the root of HSIC(K, K) HSIC(L, L)."""
    x, y = (z.double().numpy() for z in (x, y))
    centre = np.eye(len(x)) - 1 / len(x)
    k, l = (centre @ (z @ z.T) @ centre for z in (x, y))  # noqa: E741
    return (k * l).sum() / np.sqrt((k * k).sum() * (l * l).sum())


@pytest.mark.parametrize("part", [4096, 300, 299, 7, 1])
def test_it_is_the_definition_by_kernels_however_the_frames_are_cut(monkeypatch, part):
    monkeypatch.setattr(cka, "PART_FRAMES", part)
    x = features(1)
    y = x[:, :5] @ features(2, 5, 20) + features(3, width=20)
    expected = by_kernels(x, y)
    assert 0.2 < expected < 0.9
    assert cka.linear_cka(x, y, CPU) == pytest.approx(expected, abs=1e-12)


def test_features_are_like_themselves_and_hardly_like_unrelated_ones():
    x, y = features(1, 20_000), features(2, 20_000)
    assert cka.linear_cka(x, x, CPU) == 1.0
    assert cka.linear_cka(x, y, CPU) < 0.01
    # By chance alone few frames are much more alike.
    assert cka.linear_cka(x[:13], y[:13], CPU) > 0.3


def test_a_rotation_a_shift_and_one_scale_change_nothing():
    x, y = features(1), features(1) + 3 * features(2)
    rotation = torch.linalg.qr(features(3, 12)).Q
    before = cka.linear_cka(x, y, CPU)
    assert cka.linear_cka(-7 * x @ rotation + 100, y, CPU) == pytest.approx(before, abs=1e-12)
    assert cka.linear_cka(y, x, CPU) == pytest.approx(before, abs=1e-14)
    scales = torch.linspace(0.1, 10, 12)  # one for each column: another matter
    assert cka.linear_cka(x * scales, x, CPU) < 0.95


def test_a_mean_much_larger_than_the_deviations_is_taken_out_exactly():
    x, y = features(1), features(1) + features(2)
    near, far = (cka.linear_cka(x + shift, (y - shift), CPU) for shift in (0, 1e4))
    assert far == pytest.approx(near, abs=1e-6)


def test_constant_and_non_finite_features_have_no_cka():
    x = features(1)
    assert cka.linear_cka(x, torch.ones(300, 3), CPU) is None
    x[5, 5] = torch.nan
    assert cka.linear_cka(x, features(2), CPU) is None
    x[5, 5] = torch.inf
    assert cka.linear_cka(x, features(2), CPU) is None


def test_layers_are_compared_with_the_same_layer_and_with_each_other():
    one = torch.stack([features(seed) for seed in (1, 2, 3)]).float()
    other = one + torch.stack([features(seed) for seed in (4, 5, 6)]).float()
    norms = [cka.own_norms(states, CPU) for states in (one, other)]
    expected = [by_kernels(x, y) for x, y in zip(one, other, strict=True)]
    assert cka.same_layers(one, other, norms, CPU) == pytest.approx(expected, abs=1e-9)
    table = cka.all_layers(one, norms[0], CPU)
    assert [table[i][i] for i in range(3)] == [1.0, 1.0, 1.0]
    assert table[0][2] == table[2][0] == pytest.approx(by_kernels(one[0], one[2]), abs=1e-9)
