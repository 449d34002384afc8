"""Masks: how much they hide, and what they must never do."""

import pytest
import torch

from espnet2.nn.padding import padding_for
from espnet2.ssl.masking import Masker, poisson_cdf, span_lengths
from espnet2.ssl.part_configs import MaskConfig


def masker(prob=0.8, length=10, selection="static", other=0.0):
    config = MaskConfig(
        mask_prob=prob, mask_length=length, mask_selection=selection, mask_other=other
    )
    return Masker(4, config)


def draw(masker, frames, batch=400, padding=None):
    uniforms = torch.rand(batch, 2 * frames + 1, generator=torch.Generator().manual_seed(0))
    return masker.draw(batch, frames, torch.device("cpu"), padding, uniforms)


# Mean masked share of one utterance of 50, 100, 500 frames in the reference (300 draws each).
REFERENCE = [
    ((0.8, 10, "static", 0.0), (0.58207, 0.57027, 0.56783)),
    ((0.65, 20, "static", 0.0), (0.60167, 0.50823, 0.48857)),
    ((0.65, 10, "static", 0.0), (0.50507, 0.49293, 0.49403)),
    ((0.5, 10, "static", 0.0), (0.4162, 0.40807, 0.40617)),
    ((0.8, 10, "uniform", 0.0), (0.5628, 0.55017, 0.5547)),
    ((0.8, 10, "uniform", 5.0), (0.63987, 0.64863, 0.64726)),
    ((0.8, 10, "normal", 3.0), (0.5712, 0.56513, 0.56502)),
]


@pytest.mark.parametrize(("settings", "shares"), REFERENCE)
def test_masked_share_of_one_utterance_is_the_references(settings, shares):
    for frames, share in zip((50, 100, 500), shares, strict=True):
        measured = draw(masker(*settings), frames, batch=2000).float().mean(1)
        # Both are means over draws: 4 standard errors of the reference's 300.
        assert abs(measured.mean() - share) < 4 * measured.std() / 300**0.5 + 0.002


def test_share_does_not_depend_on_the_batch():
    alone = draw(masker(), 1000, batch=100)
    lengths = [1000] * 99 + [100]
    together = draw(masker(), 1000, batch=100, padding=padding_for(lengths, 1000, "cpu"))
    assert torch.equal(alone[:99], together[:99])
    assert together[99, :100].float().mean() > 0.3
    assert not together[99, 100:].any()


def test_static_spans_are_whole():
    is_masked = draw(masker(prob=0.3, length=7), 200)
    edges = torch.nn.functional.pad(is_masked.int(), (1, 1)).diff(dim=1)
    starts, ends = (edges == 1).nonzero(), (edges == -1).nonzero()
    assert (ends[:, 1] - starts[:, 1]).min() >= 7


@pytest.mark.parametrize("selection", ["static", "uniform", "normal", "poisson"])
@pytest.mark.parametrize("frames", [1, 2, 3, 9, 40])
@pytest.mark.parametrize("prob", [0.8, 1.0, 5.0])
def test_at_least_one_frame_stays_visible(selection, frames, prob):
    is_masked = draw(masker(prob, 10, selection, 2.0), frames)
    assert not is_masked.all(1).any()


def test_probability_zero_masks_nothing():
    assert not draw(masker(prob=0), 50).any()


def test_at_least_two_spans_start_however_small_the_probability():
    is_masked = draw(masker(prob=0.001, length=1), 50)
    assert torch.equal(is_masked.sum(1), torch.full((400,), 2))


def test_uniform_lengths_reach_zero_and_twice_the_length():
    uniforms = torch.tensor([[0.0, 0.9999999, 0.5]])
    from_uniforms = torch.tensor([[0, 20, 10]])
    assert torch.equal(span_lengths(uniforms, 10, "uniform", 0.0), from_uniforms)


def test_poisson_lengths_have_the_right_mean_and_variance():
    drawn = span_lengths(torch.rand(20000), 10, "poisson", 0.0).float()
    assert abs(drawn.mean() - 10) < 0.15
    assert abs(drawn.var() - 10) < 0.6
    assert poisson_cdf(10)[-1] == pytest.approx(1)


def test_the_mask_is_a_function_of_the_uniforms():
    uniforms = torch.rand(3, 101)
    one, two = (masker().draw(3, 50, torch.device("cpu"), None, uniforms) for _ in range(2))
    assert torch.equal(one, two)


def test_settings_are_live():
    live = masker()
    live.mask_prob, live.mask_length, live.mask_selection = 0.1, 3, "uniform"
    assert draw(live, 500).float().mean() < 0.15


def test_masking_fills_in_the_vector_and_leaves_its_input_alone():
    live, x = masker(), torch.randn(2, 50, 4)
    before = x.clone()
    y, is_masked = live(x, None)
    assert torch.equal(x, before)
    assert torch.equal(y[~is_masked], x[~is_masked])
    assert torch.equal(y[is_masked], live.mask_embedding.expand(int(is_masked.sum()), 4))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mask_selection", "fixed", "mask_selection must be one of static, uniform"),
        ("mask_prob", -0.1, "mask_prob must be 0 or more"),
        ("mask_length", 0, "mask_length must be a whole number of frames"),
        ("mask_length", 2.5, "mask_length must be a whole number of frames"),
    ],
)
def test_impossible_live_settings_are_refused(name, value, message):
    live = masker()
    setattr(live, name, value)
    with pytest.raises(ValueError, match=message):
        draw(live, 50)


def test_uniforms_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(batch, 2\*frames\+1\) = \(2, 101\), got \(2, 100\)"):
        masker().draw(2, 50, torch.device("cpu"), None, torch.rand(2, 100))
