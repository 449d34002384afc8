"""What the extractor takes, and the one sentence with which it refuses the rest."""

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor

from espnet2.hf import XeusFeatureExtractor

WAVE = np.random.default_rng(1).uniform(-0.5, 0.5, 16000).astype(np.float32)


def extract(audio, **options):
    return XeusFeatureExtractor()(audio, return_tensors="pt", **options)


def test_a_folder_brings_it_and_it_pads_and_leaves_the_audio_alone(folder):
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    assert isinstance(extractor, XeusFeatureExtractor)
    found = extractor([WAVE, WAVE[:9000]], return_tensors="pt")
    assert torch.equal(found["input_values"][0], torch.from_numpy(WAVE))
    assert found["attention_mask"].sum(1).tolist() == [16000, 9000]
    assert not found["input_values"][1, 9000:].any()


TENSOR = torch.from_numpy(WAVE)
WAVES = {
    "one": (WAVE, 1), "double": (WAVE.astype(np.float64), 1), "big-endian": (WAVE.astype(">f4"), 1),
    "backwards": (WAVE[::-1].copy()[::-1], 1), "numbers": (WAVE.tolist(), 1), "tensor": (TENSOR, 1),
    "learning": (TENSOR.clone().requires_grad_(), 1), "list": ([WAVE, WAVE], 2),
    "tuple": ((WAVE, WAVE), 2), "lists": ([WAVE.tolist()] * 2, 2), "tensors": ([TENSOR] * 2, 2),
    "rows": (np.stack([WAVE, WAVE]), 2), "rows of a tensor": (torch.stack([TENSOR, TENSOR]), 2),
}  # fmt: skip


@pytest.mark.parametrize("name", WAVES)
def test_waves_in_any_form_are_the_same_float32(name):
    audio, count = WAVES[name]
    found = extract(audio)["input_values"]
    assert found.dtype == torch.float32
    assert torch.equal(found, TENSOR.expand(count, -1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_become_float32(dtype):
    found = extract(TENSOR.to(dtype))["input_values"]
    assert torch.equal(found[0], TENSOR.to(dtype).float())


WHOLE = (WAVE * 32768).astype(np.int16)
STEREO = np.stack([WAVE, WAVE], axis=1)
REFUSED = {
    "whole numbers": (WHOLE, "got int16; divide 16-bit audio by 32768"),
    "whole numbers of a tensor": (torch.from_numpy(WHOLE), "got int16; divide 16-bit audio by"),
    "whole numbers of Python": (WHOLE.tolist(), "got int64; divide 16-bit audio by 32768"),
    "the second": ([WAVE, WHOLE], "utterance 1 must be floating point in -1..1, got int16"),
    "stereo": (STEREO, r"\(16000, 2\) is no batch .*; mix channels down to mono: wave.mean\(1\)"),
    "a list of stereo": ([STEREO], r"utterance 0 must be \(samples,\), got \(16000, 2\); mix chan"),
    "three dimensions": (STEREO[None], r"utterance 0 must be \(samples,\), got \(16000, 2\)"),
    "NaN": ([WAVE, np.append(WAVE, np.nan)], "utterance 1: sample 16000 is NaN or infinity"),
    "nothing": ([], "there is no audio: the list of waves is empty"),
    "a path": ("a.wav", "must be a wave .* got str: a file's is soundfile.read"),
    "a row of a data set": ({"array": WAVE}, r"got dict: .* row\['audio'\]\['array'\]$"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_wave_is_one_sentence(name):
    audio, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as error:
        extract(audio)
    assert "\n" not in str(error.value)


def test_another_rate_is_refused_with_the_line_that_changes_it():
    with pytest.raises(ValueError, match=r"^audio is at 8000 Hz, and XEUS hears 16000: soxr.res"):
        extract(WAVE, sampling_rate=8000)
