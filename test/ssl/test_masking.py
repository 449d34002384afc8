"""Masks: how much they hide, and what they must never do."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from espnet2.nn.padding import Padding, padding_for
from espnet2.ssl.masking import Masker
from espnet2.ssl.part_configs import MaskConfig
from espnet2.utils.errors import ConfigError

SELECTIONS = ["static", "uniform", "normal", "poisson"]
CPU = torch.device("cpu")


def masker(prob=0.8, length=10, selection="static", other=0.0, dim=4, **more):
    config = MaskConfig(
        mask_prob=prob, mask_length=length, mask_selection=selection, mask_other=other, **more
    )
    return Masker(dim, config)


def draw(masker, frames, batch=400, padding=None):
    numbers = masker.num_uniforms(frames)
    uniforms = torch.rand(batch, numbers, generator=torch.Generator().manual_seed(0))
    return masker.draw(batch, frames, CPU, padding, uniforms)


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


def test_without_overlap_the_share_is_the_references():
    apart = masker(0.5, 10, no_mask_overlap=True, mask_min_space=1)
    for frames in (100, 500, 1000):  # a whole number of spans: 0.5 in each of 300 draws
        assert (draw(apart, frames).float().mean(1) == 0.5).all()
    measured = draw(apart, 50).float().mean(1)  # 2.5 spans: two or three; 0.52 in the reference
    assert sorted(measured.unique().tolist()) == pytest.approx([0.4, 0.6])
    assert measured.mean() == pytest.approx(0.5, abs=4 * 0.1 / 400**0.5)


def test_share_does_not_depend_on_the_batch():
    alone = draw(masker(), 1000, batch=100)
    lengths = [1000] * 99 + [100]
    together = draw(masker(), 1000, batch=100, padding=padding_for(lengths, 1000, "cpu"))
    assert torch.equal(alone[:99], together[:99])
    assert together[99, :100].float().mean() > 0.3
    assert not together[99, 100:].any()


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize(("prob", "length"), [(0.8, 10), (50.0, 1)])
def test_a_padded_utterance_has_the_mask_it_has_alone(prob, length, selection, apart):
    live = masker(prob, length, selection, 2.0, no_mask_overlap=apart, mask_min_space=2)
    lengths = [200, 131, 60, 11, 5, 1]
    uniforms = torch.rand(6, 401)
    together = live.draw(6, 200, CPU, padding_for(lengths, 200, CPU), uniforms)
    for row, frames in enumerate(lengths):
        own = torch.cat([uniforms[row, : frames + 1], uniforms[row, 201 : 201 + frames]])
        alone = live.draw(1, frames, CPU, None, own[None])
        assert torch.equal(together[row, :frames], alone[0]), frames
        assert not together[row, frames:].any()


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("frames", [1, 2, 3, 9, 40])
@pytest.mark.parametrize("prob", [0.8, 1.0, 5.0, 1e6])
def test_at_least_one_frame_stays_visible(selection, frames, prob, apart):
    is_masked = draw(masker(prob, 10, selection, 2.0, no_mask_overlap=apart), frames)
    assert not is_masked.all(1).any()
    assert is_masked.any(1).all() == (frames > 1)


@pytest.mark.parametrize("apart", [False, True])
def test_probability_zero_masks_nothing(apart):
    assert not draw(masker(prob=0, no_mask_overlap=apart), 50).any()


@pytest.mark.parametrize("apart", [False, True])
def test_at_least_two_spans_start_however_small_the_probability(apart):
    is_masked = draw(masker(prob=0.001, length=1, no_mask_overlap=apart), 50)
    assert torch.equal(is_masked.sum(1), torch.full((400,), 2))


def test_the_mask_is_a_function_of_the_uniforms():
    uniforms = torch.rand(3, 101)
    one, two = (masker().draw(3, 50, CPU, None, uniforms) for _ in range(2))
    assert torch.equal(one, two)


def test_settings_are_live():
    live = masker(mask_channel_prob=0.0)
    live.mask_prob, live.mask_length, live.mask_selection = 0.1, 3, "uniform"
    assert draw(live, 500).float().mean() < 0.15
    live.mask_length, live.mask_selection, live.no_mask_overlap = 7, "static", True
    live.mask_prob = 0.7
    assert (draw(live, 500).sum(1) == 350).all()
    live.mask_channel_prob = 0.5
    assert live.num_uniforms(50) == 101 + 9


def test_masking_fills_in_the_vector_and_leaves_its_input_alone():
    live, x = masker(), torch.randn(2, 50, 4)
    before = x.clone()
    y, is_masked = live(x, None)
    assert torch.equal(x, before)
    assert torch.equal(y[~is_masked], x[~is_masked])
    assert torch.equal(y[is_masked], live.mask_embedding.expand(int(is_masked.sum()), 4))


def test_masked_channels_are_zero_in_all_frames_masked_ones_too():
    live = masker(
        dim=200, mask_channel_prob=0.3, mask_channel_length=5, no_mask_channel_overlap=True
    )
    x, uniforms = torch.rand(40, 30, 200) + 1, torch.rand(40, live.num_uniforms(30))
    y, is_masked = live(x, None, uniforms)
    is_off = y[:, 0] == 0  # (B, D)
    assert (is_off.sum(1) == 60).all()  # 12 spans of 5
    assert not y.masked_fill(~is_off[:, None], 0).any()
    plain = masker(dim=200)
    plain.load_state_dict(live.state_dict())
    expected, same_mask = plain(x, None, uniforms[:, :61])
    assert torch.equal(is_masked, same_mask)
    assert torch.equal(y, expected * ~is_off[:, None])
    assert len(is_off.unique(dim=0)) == 40


def test_a_channel_probability_too_small_for_a_span_masks_no_channel():
    live, x = masker(prob=0, dim=20, mask_channel_prob=0.001), torch.rand(9, 5, 20) + 1
    uniforms = torch.full((9, live.num_uniforms(5)), 0.5)  # floor(0.001 * 20 / 10 + 0.5) spans
    assert torch.equal(live(x, None, uniforms)[0], x)


def test_channels_are_drawn_from_torchs_generator_where_no_numbers_are_given():
    torch.manual_seed(0)
    live = masker(dim=100, mask_channel_prob=0.4)
    y, _ = live(torch.ones(50, 3, 100), None)
    share = (y == 0).all(1).float().mean()
    assert share == pytest.approx(1 - 2.718281828**-0.4, abs=0.05)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mask_selection", "fixed", "mask_selection must be one of static, uniform"),
        ("mask_prob", -0.1, "mask_prob must be 0 or more, got -0.1"),
        ("mask_prob", float("nan"), "mask_prob must be 0 or more, got nan"),
        ("mask_prob", float("inf"), "mask_prob must be 0 or more, got inf"),
        ("mask_length", 0, "mask_length must be an int of 1 or more, got 0"),
        ("mask_length", 2.5, "mask_length must be an int of 1 or more, got 2.5"),
        ("mask_min_space", -1, "mask_min_space must be an int of 0 or more, got -1"),
        ("mask_channel_prob", -0.1, "mask_channel_prob must be 0 or more, got -0.1"),
        ("mask_channel_length", 0, "mask_channel_length must be an int of 1 or more"),
        ("mask_channel_selection", "x", "mask_channel_selection must be one of static"),
    ],
)
def test_impossible_settings_are_refused_live_and_in_a_configuration(name, value, message):
    live = masker()
    setattr(live, name, value)
    with pytest.raises(ConfigError, match=message):
        live(torch.zeros(2, 50, 4), None)
    with pytest.raises(ConfigError, match=message):
        MaskConfig(**{name: value})


@pytest.mark.parametrize(
    ("selection", "other", "message"),
    [
        ("uniform", 21.0, r"mask_other, the shortest span, must lie in 0 \.\. 20 \(twice"),
        ("uniform", -1.0, r"must lie in 0 \.\. 20 \(twice mask_length\), got -1"),
        ("normal", -3.0, "mask_other, a deviation, must be 0 or more, got -3"),
    ],
)
def test_a_mask_other_that_fits_no_distribution_is_refused(selection, other, message):
    with pytest.raises(ConfigError, match=message):
        MaskConfig(mask_selection=selection, mask_other=other)


def test_uniforms_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(batch, 2\*frames\+1\) = \(2, 101\), got \(2, 100\)"):
        masker().draw(2, 50, CPU, None, torch.rand(2, 100))
    message = r"\(batch, 2\*frames\+1 \+ 2\*channels\+1\) = \(2, 110\), got \(2, 101\)"
    with pytest.raises(ValueError, match=message):
        masker(mask_channel_prob=0.1).draw(2, 50, CPU, None, torch.rand(2, 101))


class OnTheDevice(TorchDispatchMode):
    """Notes every operation that makes a tensor elsewhere than on the device."""

    def __init__(self):
        super().__init__()
        self.elsewhere = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        if any(tensor.device.type != "meta" for tensor in tensors):
            self.elsewhere.append(str(func))
        return out


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_masking_never_waits_for_the_device(selection, apart, given):
    # A meta tensor holds no data: reading a value, or a shape that depends on one, raises.
    # No operation makes a tensor elsewhere, so nothing is copied to the device either.
    with torch.device("meta"):
        live = masker(
            0.8, 10, selection, 3.0, no_mask_overlap=apart, mask_min_space=1,
            mask_channel_prob=0.2, mask_channel_selection=selection, mask_channel_length=1,
            no_mask_channel_overlap=apart,
        )  # fmt: skip
        x, is_pad = torch.rand(3, 50, 4), torch.zeros(3, 50, dtype=torch.bool)
        uniforms = torch.rand(3, live.num_uniforms(50)) if given else None
    with OnTheDevice() as operations:
        y, is_masked = live(x, Padding(is_pad, (50, 40, 30)), uniforms)
    assert (y.shape, is_masked.shape, is_masked.dtype) == (x.shape, (3, 50), torch.bool)
    assert operations.elsewhere == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_a_gpu_draws_the_cpus_mask_without_being_waited_for(selection, apart):
    live = masker(0.8, 10, selection, 3.0, no_mask_overlap=apart, mask_channel_prob=0.2)
    x, uniforms = torch.rand(32, 1000, 4), torch.rand(32, live.num_uniforms(1000))
    expected, is_masked = live(x, None, uniforms)
    on_gpu = live.cuda(), x.cuda(), uniforms.cuda()
    torch.cuda.set_sync_debug_mode("error")
    y, on_device = on_gpu[0](on_gpu[1], None, on_gpu[2])
    torch.cuda.set_sync_debug_mode("default")
    assert (on_device.cpu() == is_masked).all(1).float().mean() > 0.9  # rounding of quantiles
    if selection in ("static", "uniform"):
        assert torch.equal(y.cpu(), expected)
