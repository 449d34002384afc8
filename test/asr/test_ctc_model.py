"""The probe: sizes of the benchmark, padding invariance, loss, and its parts."""

import pytest
import torch
from torch.nn import functional as F

from espnet2.asr import layer_mix
from espnet2.asr.config import ProbeConfig, SpecAugConfig
from espnet2.asr.ctc_model import CTCModel
from espnet2.asr.layer_mix import LayerMix
from espnet2.asr.specaug import num_uniforms, spec_augment
from espnet2.asr.transformer import subsampled
from espnet2.utils.errors import ConfigError

SMALL = ProbeConfig(
    projection=12, conv_channels=3, output_size=8, attention_heads=2, linear_units=16
)


def small_model(seed=0):
    torch.manual_seed(seed)
    return CTCModel(SMALL, num_layers=3, input_size=5, num_tokens=7)


def test_the_defaults_are_the_benchmarks_sizes():
    model = CTCModel(ProbeConfig(), num_layers=24, input_size=1024, num_tokens=100)
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in
             model.named_children()}  # fmt: skip
    block = 4 * (256 * 256 + 256) + 2 * 256 * 1024 + 1024 + 256 + 4 * 256
    assert count["mix"] == 24 + 1024 * 80 + 80
    assert count["subsampling"] == (9 + 1) * 256 + (9 * 256 + 1) * 256 + (256 * 37 + 1) * 256
    assert count["transformer"] == 2 * block + 2 * 256
    assert count["output"] == 257 * 100


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ConfigError, match="multiple of attention_heads, got 144 and 8|got 100 and"):
        ProbeConfig(output_size=100)


def test_padding_and_batch_mates_do_not_change_an_utterance():
    model = small_model().eval()
    features = torch.randn(1, 31, 3, 5)
    alone, alone_length = model.log_probs(features, torch.tensor([31]))
    padded = torch.full((2, 50, 3, 5), 100.0)
    padded[0, :31] = features[0]
    both, lengths = model.log_probs(padded, torch.tensor([31, 50]))
    assert lengths.tolist() == [alone_length.item(), 22]
    torch.testing.assert_close(both[0, : lengths[0]], alone[0, : lengths[0]], atol=1e-5, rtol=0)


def test_log_probabilities_sum_to_one():
    scores, _ = small_model().eval().log_probs(torch.randn(2, 20, 3, 5), torch.tensor([20, 9]))
    torch.testing.assert_close(scores.exp().sum(2), torch.ones(2, scores.shape[1]))


@pytest.mark.parametrize("frames", [0, 3, 6])
def test_an_utterance_that_is_too_short_has_no_frames_and_no_nan(frames):
    features = torch.zeros(1, frames, 3, 5)
    scores, lengths = small_model().eval().log_probs(features, torch.tensor([frames]))
    assert lengths.tolist() == [0]
    assert torch.isfinite(scores).all()


def test_the_loss_is_summed_over_utterances():
    model = small_model().eval()
    features, lengths = torch.randn(2, 40, 3, 5), torch.tensor([40, 33])
    text, text_lengths = torch.tensor([[2, 3, 3], [4, 0, 0]]), torch.tensor([3, 1])
    output = model(features, lengths, text, text_lengths)
    scores, frames = model.log_probs(features, lengths)
    parts = [
        F.ctc_loss(scores[i, : frames[i]], text[i, : text_lengths[i]], frames[i], text_lengths[i],
                   reduction="none")
        for i in range(2)
    ]  # fmt: skip
    torch.testing.assert_close(output.loss_sum, sum(parts))
    assert output.weight == 2
    assert [x.item() for x in output.counts["nats_per_token"]] == [output.loss_sum.item(), 4]


def test_lengths_on_the_host_meet_features_on_another_device(monkeypatch):
    monkeypatch.setattr(layer_mix, "cast_like", lambda x, like: x)  # asks autocast: not on meta
    model = small_model().train().to("meta")
    features, uniforms = torch.zeros(2, 40, 3, 5), torch.zeros(2, num_uniforms(SMALL.specaug))
    scores, lengths = model.log_probs(
        features.to("meta"), torch.tensor([40, 33]), uniforms.to("meta")
    )
    assert (scores.device.type, lengths.device.type) == ("meta", "meta")
    assert scores.shape == (2, 17, 7)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_step_on_a_gpu_takes_lengths_from_the_host():
    model = small_model().cuda()
    text, text_lengths = torch.tensor([[2, 3, 3], [4, 0, 0]]), torch.tensor([3, 1])
    uniforms = torch.rand(2, num_uniforms(SMALL.specaug))
    output = model(
        torch.randn(2, 40, 3, 5).cuda(), torch.tensor([40, 33]), text.cuda(), text_lengths,
        uniforms.cuda(),
    )  # fmt: skip
    output.loss_sum.backward()
    assert output.loss_sum.isfinite()
    assert {x.device.type for x in output.counts["nats_per_token"]} == {"cuda"}


def test_subsampled_lengths_are_those_of_the_convolutions():
    model = small_model()
    for frames in (7, 8, 20, 21):
        width = model.subsampling(torch.zeros(1, frames, 12)).shape[1]
        assert subsampled(torch.tensor([frames])).item() == width


def test_mixing_and_projecting_is_one_product():
    torch.manual_seed(0)
    mix = LayerMix(3, 5, 4)
    mix.logits.data = torch.tensor([0.0, 1.0, -1.0])
    x = torch.randn(2, 6, 3, 5)
    mixed = torch.einsum("btld,l->btd", x, mix.weights())
    torch.testing.assert_close(mix(x), mix.projection(mixed))
    assert mix.weights().sum().item() == pytest.approx(1)


def test_without_a_projection_the_mix_is_returned():
    mix, x = LayerMix(2, 5, None), torch.randn(1, 3, 2, 5)
    torch.testing.assert_close(mix(x), x.mean(2))


MASKS = SpecAugConfig(
    time_warp_window=0, num_freq_mask=1, freq_mask_width=4, num_time_mask=1, time_mask_ratio=0.2
)


def test_masks_have_the_width_and_place_that_were_drawn():
    uniforms = torch.tensor([[0, 0, 0.5, 0.0, 0.99, 0.5]])  # -, -, band 2 at 0, time 2 at 4
    y = spec_augment(torch.ones(1, 10, 6), torch.tensor([10]), uniforms, MASKS)
    assert (y[0, :, :2] == 0).all()
    assert (y[0, 4:6] == 0).all()
    assert y.sum() == (10 - 2) * (6 - 2)


def test_masks_never_pass_the_end_of_an_utterance():
    uniforms = torch.full((1, num_uniforms(MASKS)), 0.999)
    y = spec_augment(torch.ones(1, 20, 6), torch.tensor([10]), uniforms, MASKS)
    assert (y[0, 10:, :2] == 1).all()


def test_warping_keeps_ends_and_order_and_can_be_undrawn():
    config = SpecAugConfig(num_freq_mask=0, num_time_mask=0, time_warp_window=5)
    ramp = torch.arange(30.0)[None, :, None].repeat(2, 1, 1)
    uniforms = torch.tensor([[0.5, 0.99], [0.5, 0.5]])
    y = spec_augment(ramp, torch.tensor([25, 25]), uniforms, config)
    assert (y[0, :24].diff(dim=0) >= 0).all()
    assert y[0, 0] == 0
    assert 23 < y[0, 24] <= 24
    assert not torch.equal(y[0], ramp[0])
    torch.testing.assert_close(y[1], ramp[1])  # a move of zero frames
    torch.testing.assert_close(y[:, 25:], ramp[:, 25:])


def test_specaugment_is_for_training_only():
    model = small_model().eval()
    features, lengths = torch.randn(1, 30, 3, 5), torch.tensor([30])
    uniforms = torch.rand(1, num_uniforms(SMALL.specaug))
    plain, _ = model.log_probs(features, lengths)
    augmented, _ = model.log_probs(features, lengths, uniforms)
    torch.testing.assert_close(plain, augmented)
