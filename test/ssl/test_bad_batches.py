"""Malformed batches are refused at the door, each with one sentence."""

import pytest
import torch

from espnet2.tasks.ssl import SSLTask

MODEL = SSLTask.build_model(
    {
        "frontend_conf": {"shapes": [[4, 10, 5], *[[4, 3, 2]] * 4, *[[4, 2, 2]] * 2]},
        "encoder_conf": {"output_size": 16, "num_blocks": 1},
        "loss_conf": {"num_classes": 5, "final_dim": 4},
    }
).eval()
NAN = torch.full((2, 800), float("nan"))

SPEECH = [
    (torch.zeros(800), [800], r"speech must be \(batch, samples\), got \(800,\)"),
    (torch.zeros(1, 2, 800), [800], r"speech must be \(batch, samples\), got \(1, 2, 800\)"),
    (torch.zeros(0, 800), [], "got an empty batch"),
    (torch.zeros(1, 800).short(), [800], "must be floating point .* got torch.int16; divide"),
    (torch.zeros(2, 800), [800], r"\(1,\) lengths for 2 utterances"),
    (torch.zeros(2, 800), [[800], [800]], r"\(2, 1\) lengths for 2 utterances"),
    (torch.zeros(2, 800), [800.0, 400.0], "speech_lengths must be whole numbers"),
    (torch.zeros(2, 800), [800, 801], "utterance 1: length 801 exceeds the tensor's 800 samples"),
    (torch.zeros(2, 800), [399, 800], "utterance 0 has 399 samples; at least 400 make one frame"),
    (torch.zeros(2, 800), [800, 0], "utterance 1 has 0 samples"),
    (NAN, [800, 800], "utterance 0: sample 0 is NaN or infinity"),
]


@pytest.mark.parametrize(("speech", "lengths", "message"), SPEECH)
def test_malformed_speech_is_refused(speech, lengths, message):
    with pytest.raises(ValueError, match=message):
        MODEL.encode(speech, torch.tensor(lengths))


LABELS = [
    (torch.zeros(2, 3), [2, 2], "text is 3 labels wide, the features 2 frames"),
    (torch.zeros(2, 2), [2, 1], "utterance 1: 1 labels for 2 frames"),
    (torch.zeros(2, 3), [3, 2], "utterance 0: 3 labels for 2 frames"),
    (torch.zeros(2), [2, 2], r"text must be \(batch, frames\) for 2 utterances, got \(2,\)"),
    (torch.full((2, 2), 5), [2, 2], r"utterance 0: label 5 is outside 0\.\.4"),
    (torch.full((2, 2), -1), [2, 2], r"utterance 0: label -1 is outside 0\.\.4"),
]


@pytest.mark.parametrize(("text", "lengths", "message"), LABELS)
def test_labels_off_the_encoders_frames_are_refused(text, lengths, message):
    speech, samples = torch.zeros(2, 800), torch.tensor([800, 800])
    with pytest.raises(ValueError, match=message):
        MODEL(speech, samples, text.long(), torch.tensor(lengths))


def test_the_shortest_utterance_gives_one_frame():
    out = MODEL.encode(torch.randn(1, 400), torch.tensor([400]))
    assert out.layers[-1].shape == (1, 1, 16)
    assert torch.isfinite(out.layers[-1]).all()


def test_silence_gives_finite_features():
    out = MODEL.encode(torch.zeros(1, 1000), torch.tensor([1000]))
    assert torch.isfinite(out.layers[-1]).all()


def test_double_precision_audio_is_accepted():
    out = MODEL.encode(torch.zeros(1, 1000, dtype=torch.float64), torch.tensor([1000]))
    assert out.layers[-1].dtype == torch.float32
