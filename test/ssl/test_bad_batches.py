"""Malformed batches are refused at the door, each with one sentence; odd audio is not."""

import copy

import numpy as np
import pytest
import torch

from espnet2.tasks.ssl import SSLTask

torch.manual_seed(0)
MODEL = SSLTask.build_model(
    {
        "frontend_conf": {
            "shapes": [[4, 10, 5], *[[4, 3, 2]] * 4, *[[4, 2, 2]] * 2],
            "normalize_audio": True,
        },
        "encoder_conf": {"output_size": 16, "num_blocks": 1},
        "loss_conf": {"num_classes": 5, "final_dim": 4},
    }
).eval()
ZEROS = torch.zeros(2, 800)
LENGTHS = torch.tensor([800, 800])
BAD_AT_5 = torch.zeros(2, 800)
BAD_AT_5[1, 5] = float("inf")


def one_line(message):
    """``message`` as the whole text of an error."""
    return f"^{message}$"


SPEECH = [
    (torch.zeros(800), [800], r"speech must be \(batch, samples\), got \(800,\); one .*\[None\]"),
    (torch.zeros(1, 2, 800), [800], r"speech must be .*, got \(1, 2, 800\); mix channels .* mono"),
    (torch.zeros(1, 800, 2), [800], r"speech must be .*, got \(1, 800, 2\); mix channels .* mono"),
    (torch.zeros(0, 800), [], "speech must hold at least one utterance, got an empty batch"),
    (torch.zeros(1, 800).short(), [800], "speech must be floating point .* torch.int16; divide .*"),
    (torch.zeros(1, 800).bool(), [800], "speech must be floating point .* got torch.bool; .*"),
    (torch.zeros(1, 800).cfloat(), [800], "speech must be floating point .* torch.complex64; .*"),
    (np.zeros((1, 800)), [800], r"speech must be a torch tensor, got ndarray; use torch.as_t.*"),
    ([[0.0] * 800], [800], r"speech must be a torch tensor, got list; use torch.as_tensor\(spe.*"),
    (ZEROS.to("meta"), [800, 800], r"speech is on meta, the model on cpu; use speech.to\('cpu'\)"),
    (ZEROS, [800], r"speech_lengths must hold one length an utterance: \(1,\) lengths for 2 .*"),
    (ZEROS, [[800], [800]], r"speech_lengths must hold one .*: \(2, 1\) lengths for 2 utterances"),
    (ZEROS, 800, r"speech_lengths must hold one .*: \(\) lengths for 2 utterances"),
    (ZEROS, [800.0, 400.0], "speech_lengths must be whole numbers, got torch.float32"),
    (ZEROS, [True, True], "speech_lengths must be whole numbers, got torch.bool"),
    (ZEROS, [800, 801], "utterance 1: length 801 exceeds the tensor's 800 samples"),
    (ZEROS, [399, 800], "utterance 0 has 399 samples; at least 400 make one frame"),
    (ZEROS, [800, 0], "utterance 1 has 0 samples; at least 400 make one frame"),
    (ZEROS, [-800, 800], "utterance 0 has -800 samples; at least 400 make one frame"),
    (torch.zeros(2, 0), [0, 0], "utterance 0 has 0 samples; at least 400 make one frame"),
    (ZEROS * torch.nan, [800, 800], "utterance 0: sample 0 is NaN or infinity"),
    (BAD_AT_5, [800, 800], "utterance 1: sample 5 is NaN or infinity"),
]


@pytest.mark.parametrize(("speech", "lengths", "message"), SPEECH)
def test_malformed_speech_is_refused(speech, lengths, message):
    for method in (MODEL.encode, MODEL.inference_encode, MODEL._extract_feats):
        with pytest.raises(ValueError, match=one_line(message)):
            method(speech, torch.tensor(lengths))


@pytest.mark.parametrize("lengths", [[800, 800], np.array([800, 800]), None])
def test_lengths_that_are_no_tensor_are_refused(lengths):
    kind = type(lengths).__name__
    with pytest.raises(ValueError, match=f"speech_lengths must be a torch tensor, got {kind}; use"):
        MODEL.encode(ZEROS, lengths)


LABELS = [
    (torch.zeros(2, 3), [2, 2], "text is 3 labels wide, the features 2 frames"),
    (torch.zeros(2, 1), [1, 1], "utterance 0: 1 labels for 2 frames; there must be one a frame"),
    (torch.zeros(2, 2), [2, 1], "utterance 1: 1 labels for 2 frames; there must be one a frame"),
    (torch.zeros(2, 3), [3, 2], "utterance 0: 3 labels for 2 frames; there must be one a frame"),
    (torch.zeros(2), [2, 2], r"text must be \(batch, frames\) for 2 utterances, got \(2,\)"),
    (torch.zeros(1, 2), [2], r"text must be \(batch, frames\) for 2 utterances, got \(1, 2\)"),
    (torch.zeros(2, 2), [2], r"text_lengths must hold one .*: \(1,\) lengths for 2 utterances"),
    (torch.zeros(2, 2), [2.0, 2.0], "text_lengths must be whole numbers, got torch.float32"),
    (torch.full((2, 2), 5), [2, 2], r"utterance 0: label 5 is outside 0\.\.4"),
    (torch.full((2, 2), -1), [2, 2], r"utterance 0: label -1 is outside 0\.\.4"),
    (torch.zeros(2, 2, device="meta"), [2, 2], r"text is on meta, the model on cpu; use text.*"),
]


@pytest.mark.parametrize(("text", "lengths", "message"), LABELS)
def test_labels_off_the_encoders_frames_are_refused(text, lengths, message):
    with pytest.raises(ValueError, match=one_line(message)):
        MODEL(ZEROS, LENGTHS, text.long(), torch.tensor(lengths))


def test_labels_of_another_type_are_refused():
    with pytest.raises(ValueError, match=r"^text must be int64 cluster ids, got torch.float32; us"):
        MODEL(ZEROS, LENGTHS, torch.zeros(2, 2), torch.tensor([2, 2]))
    with pytest.raises(ValueError, match="^text must be a torch tensor, got list; use torch.as_te"):
        MODEL(ZEROS, LENGTHS, [[0, 0], [0, 0]], torch.tensor([2, 2]))


def test_what_lies_beyond_an_utterance_may_be_anything():
    speech = torch.randn(2, 1000)
    expected = MODEL.encode(speech, LENGTHS).layers[-1]
    speech[:, 800:] = torch.nan
    assert torch.equal(MODEL.encode(speech, LENGTHS).layers[-1], expected)


def test_the_shortest_utterance_gives_one_frame():
    out = MODEL.encode(torch.randn(1, 400), torch.tensor([400]))
    assert out.layers[-1].shape == (1, 1, 16)
    assert torch.isfinite(out.layers[-1]).all()


NOISE = torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
ODD = {
    "silence": 0 * NOISE,
    "smallest float": torch.full_like(NOISE, 1e-45),
    "near-silence": 1e-30 * NOISE,
    "one sample": torch.nn.functional.one_hot(torch.tensor([2000]), 4000).float(),
    "constant": torch.ones_like(NOISE),
    "full-scale offset": 1 + 1e-6 * NOISE,
    "16-bit numbers": 32768 * NOISE,
}


@pytest.mark.parametrize("is_normalized", [True, False])
@pytest.mark.parametrize("speech", ODD.values(), ids=ODD)
def test_odd_audio_gives_finite_features_and_gradients(speech, is_normalized):
    model = copy.deepcopy(MODEL)
    model.frontend.normalize_audio = is_normalized
    text, frames = torch.zeros(1, 12, dtype=torch.long), torch.tensor([12])
    out = model.encode(speech, torch.tensor([4000]))
    assert torch.isfinite(out.layers[-1]).all()
    model(speech, torch.tensor([4000]), text, frames).loss_sum.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_audio_of_another_float_type_gives_features_in_the_models(dtype):
    speech = NOISE.to(dtype)
    out = MODEL.encode(speech, torch.tensor([4000]))
    assert out.layers[-1].dtype == torch.float32
    expected = MODEL.encode(speech.float(), torch.tensor([4000]))
    torch.testing.assert_close(out.layers, expected.layers)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-5), (torch.bfloat16, 0.05)])
def test_a_model_in_another_float_type_gives_its_type_and_the_same_features(dtype, error):
    exact = MODEL.encode(NOISE, torch.tensor([4000])).layers[-1]
    ours = copy.deepcopy(MODEL).to(dtype).encode(NOISE, torch.tensor([4000])).layers[-1]
    assert ours.dtype == dtype
    assert (ours - exact).norm() < error * exact.norm()


@pytest.mark.parametrize("prob", [0, 1])
def test_every_mask_probability_trains(prob):
    model = copy.deepcopy(MODEL).train()
    model.set_phase(mask_prob=float(prob))
    torch.manual_seed(0)
    out = model(torch.randn(2, 800), LENGTHS, torch.zeros(2, 2).long(), torch.tensor([2, 2]))
    assert out.weight == 2 * prob  # of two frames each, one stays visible
    assert torch.isfinite(out.loss_sum)
    (out.loss_sum / out.weight.clamp(min=1)).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients) == bool(prob)
