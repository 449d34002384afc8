"""The probe: sizes of the benchmark, padding invariance, loss, and its parts."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from espnet2.asr import ctc_model
from espnet2.asr.config import ProbeConfig, SpecAugConfig
from espnet2.asr.ctc_model import CTCModel, without_mean
from espnet2.asr.layer_mix import LayerMix
from espnet2.asr.specaug import mask_bands, num_uniforms, time_warp, warp_and_mask_time
from espnet2.asr.transformer import subsampled
from espnet2.utils.errors import ConfigError, DataError

SMALL = ProbeConfig(
    projection=12, conv_channels=3, output_size=8, attention_heads=2, linear_units=16
)


def small_model(seed=0, **changes):
    torch.manual_seed(seed)
    return CTCModel(replace(SMALL, **changes), num_layers=3, input_size=5, num_tokens=7)


def test_the_defaults_are_the_benchmarks_sizes():
    model = CTCModel(ProbeConfig(), num_layers=24, input_size=1024, num_tokens=100)
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in
             model.named_children() if part is not None}  # fmt: skip
    block = 4 * (256 * 256 + 256) + 2 * 256 * 1024 + 1024 + 256 + 4 * 256
    assert (count["mix"], count["projection"]) == (24, 1024 * 80 + 80)
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
    monkeypatch.setattr(ctc_model, "full_precision", nullcontext)  # asks autocast: not on meta
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


def test_layers_are_mixed_by_their_shares():
    torch.manual_seed(0)
    mix = LayerMix(3)
    mix.logits.data = torch.tensor([0.0, 1.0, -1.0])
    x = torch.randn(2, 6, 3, 5)
    torch.testing.assert_close(mix(x), torch.einsum("btld,l->btd", x, mix.weights()))
    assert mix.weights().sum().item() == pytest.approx(1)
    torch.testing.assert_close(mix(x.bfloat16()), mix(x.bfloat16().float()), atol=0, rtol=0)


def test_each_utterance_loses_its_own_mean():
    x = torch.randn(2, 6, 5) + 7
    y = without_mean(x, torch.tensor([6, 4]))
    torch.testing.assert_close(y[0], x[0] - x[0].mean(0))
    torch.testing.assert_close(y[1, :4], x[1, :4] - x[1, :4].mean(0))
    assert (y[1, 4:] == 0).all()


def test_features_whose_mean_was_removed_before_give_the_same():
    model, x = small_model().eval(), torch.randn(1, 20, 3, 5) + 3
    lengths = torch.tensor([20])
    centred = model.log_probs(x - x.mean(1, keepdim=True), lengths)[0]
    torch.testing.assert_close(model.log_probs(x, lengths)[0], centred, atol=1e-5, rtol=0)


def test_a_large_mean_costs_no_precision_under_autocast():
    model, x, lengths = small_model().eval(), torch.randn(1, 20, 3, 5), torch.tensor([20])
    with torch.autocast("cpu", torch.bfloat16):
        near, far = model.log_probs(x, lengths)[0], model.log_probs(x + 300, lengths)[0]
    torch.testing.assert_close(near, far, atol=0.01, rtol=0)


def test_what_is_projected_first_is_what_the_benchmark_projects_last():
    model = small_model().train()
    x, lengths = torch.randn(2, 40, 3, 5) + 1, torch.tensor([40, 31])
    uniforms = torch.rand(2, num_uniforms(SMALL.specaug))
    mixed = mask_bands(model.mix(x), uniforms, SMALL.specaug)
    mixed = warp_and_mask_time(mixed, lengths, uniforms, SMALL.specaug)
    expected = model.projection(without_mean(mixed, lengths))
    torch.testing.assert_close(model.front(x, lengths, uniforms)[0], expected[0])
    torch.testing.assert_close(model.front(x, lengths, uniforms)[1, :31], expected[1, :31])


def test_without_a_projection_the_mix_goes_on():
    config = replace(SMALL, projection=None, specaug=None)
    model, x = CTCModel(config, 3, input_size=9, num_tokens=7), torch.randn(1, 30, 3, 9)
    expected = without_mean(x.mean(2), torch.tensor([30]))
    torch.testing.assert_close(model.front(x, torch.tensor([30]), None), expected)


MASKS = SpecAugConfig(
    time_warp_window=0, num_freq_mask=1, freq_mask_width=4, num_time_mask=1, time_mask_ratio=0.2
)


def test_masks_have_the_width_and_place_that_were_drawn():
    uniforms = torch.tensor([[0, 0, 0.5, 0.0, 0.99, 0.5]])  # -, -, band 2 at 0, time 1 at 4
    x, lengths = torch.ones(1, 10, 6), torch.tensor([10])
    y = warp_and_mask_time(mask_bands(x, uniforms, MASKS), lengths, uniforms, MASKS)
    assert (y[0, :, :2] == 0).all()
    assert (y[0, 4] == 0).all()
    assert y.sum() == (10 - 1) * (6 - 2)


def test_masks_never_pass_the_end_of_an_utterance():
    uniforms = torch.full((1, num_uniforms(MASKS)), 0.999)
    y = warp_and_mask_time(torch.ones(1, 40, 6), torch.tensor([20]), uniforms, MASKS)
    assert (y[0, 20:] == 1).all()
    assert (y[0, :20] == 0).any()


def warped(ramp, lengths, uniforms):
    return time_warp(ramp, torch.tensor(lengths), torch.tensor(uniforms), 5)


def test_warping_keeps_ends_and_order_and_can_be_undrawn():
    ramp = torch.arange(30.0)[None, :, None].repeat(2, 1, 1)
    y = warped(ramp, [25, 25], [[0.5, 0.99], [0.5, 0.4]])
    assert (y[0, 1:24].diff(dim=0) > 0).all()
    assert abs(y[0, 0].item()) < 0.3
    assert abs(y[0, 24].item() - 24) < 0.3
    assert not torch.equal(y[0], ramp[0])
    torch.testing.assert_close(y[1], ramp[1])  # a move of zero frames
    torch.testing.assert_close(y[:, 25:], ramp[:, 25:])


@pytest.mark.parametrize("uniforms", [[0.0, 0.0], [0.3, 0.99], [0.999, 0.5], [0.999, 0.999]])
def test_warping_interpolates_each_side_as_torch_does(uniforms):
    torch.manual_seed(1)
    x, length, window = torch.randn(1, 30, 3), 27, 5
    centre = window + int(uniforms[0] * (length - 2 * window))
    moved = centre - window + 1 + int(uniforms[1] * 2 * window)
    sides = (x[:, None, :centre], moved), (x[:, None, centre:length], length - moved)
    expected = [F.interpolate(side, (size, 3), mode="bicubic") for side, size in sides]
    y = warped(x, [length], [uniforms])
    torch.testing.assert_close(y[:, :length], torch.cat(expected, dim=2)[:, 0])
    assert torch.equal(y[:, length:], x[:, length:])


def test_an_utterance_with_no_room_to_warp_stays():
    x = torch.randn(3, 30, 2)
    y = warped(x, [10, 0, 11], [[0.5, 0.9]] * 3)
    assert torch.equal(y[:2], x[:2])
    assert not torch.equal(y[2], x[2])


def test_specaugment_is_for_training_only():
    model = small_model().eval()
    features, lengths = torch.randn(1, 30, 3, 5), torch.tensor([30])
    uniforms = torch.rand(1, num_uniforms(SMALL.specaug))
    plain, _ = model.log_probs(features, lengths)
    augmented, _ = model.log_probs(features, lengths, uniforms)
    torch.testing.assert_close(plain, augmented)


def tapped_losses(model, features, lengths, texts, text_lengths):
    """(loss of each tap on ``texts``, loss of the last block), each summed over the batch."""
    x, tapped, frames = model.encode(features, lengths)
    loss = {n: model.ctc_loss(y, frames, *texts[n]) for n, y in tapped.items()}
    return loss, model.ctc_loss(x, frames, *text_lengths)


def batch_of_two():
    torch.manual_seed(3)
    features, lengths = torch.randn(2, 40, 3, 5), torch.tensor([40, 33])
    text = torch.tensor([[2, 3, 3], [4, 2, 0]]), torch.tensor([3, 2])
    return features, lengths, text, torch.tensor([5, 6])


def test_losses_of_blocks_before_the_last_are_weighted():
    changes = {"num_blocks": 4, "interctc_layers": [1, 3], "interctc_weight": 0.4}
    model = small_model(**changes, lid_weight=0.25, lid_layer=2).eval()
    features, lengths, text, languages = batch_of_two()
    alone = languages[:, None], torch.tensor([1, 1])
    parts, final = tapped_losses(model, features, lengths, {1: text, 3: text, 2: alone}, text)
    output = model(features, lengths, *text, language_ids=languages)
    expected = 0.4 * (parts[1] + parts[3]) / 2 + 0.25 * parts[2] + 0.35 * final
    torch.testing.assert_close(output.loss_sum, expected)
    assert output.counts["nats_per_token"][0] == final


def test_a_block_conditioned_on_itself_changes_those_after_it():
    features, lengths, *_ = batch_of_two()
    plain = small_model(interctc_layers=[1]).eval()
    model = small_model(interctc_layers=[1], self_conditioned=True).eval()
    model.load_state_dict(plain.state_dict(), strict=False)
    x, tapped, _ = model.encode(features, lengths)
    torch.testing.assert_close(tapped[1], plain.encode(features, lengths)[1][1])
    assert not torch.allclose(x, plain.encode(features, lengths)[0], atol=1e-3)
    with torch.no_grad():
        model.conditioning.weight.zero_()
        model.conditioning.bias.zero_()
    torch.testing.assert_close(
        model.encode(features, lengths)[0], plain.encode(features, lengths)[0]
    )


def test_a_language_loss_without_languages_is_refused():
    features, lengths, text, _ = batch_of_two()
    with pytest.raises(DataError, match="lid_weight is set, but the batch names no languages"):
        small_model(lid_weight=0.3)(features, lengths, *text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"interctc_layers": [2]}, r"before the last of 2, none twice, got \[2\] and 1"),
        ({"interctc_layers": [1, 1]}, "none twice"),
        ({"lid_weight": 0.3, "lid_layer": 0}, "must name blocks before the last"),
        ({"interctc_layers": [1], "interctc_weight": 0.7, "lid_weight": 0.3}, "leave the last"),
        ({"lid_weight": -0.1}, "leave the last block a share"),
        ({"projection": 6}, "projection must be at least 7 for two convolutions, got 6"),
        ({"self_conditioned": True}, "self_conditioned needs interctc_layers or lid_weight"),
    ],
)
def test_losses_that_do_not_fit_the_blocks_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(SMALL, **changes)
