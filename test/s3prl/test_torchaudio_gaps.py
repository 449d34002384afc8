"""What fills torchaudio's gaps, on real files."""

import importlib
import sys

import numpy as np
import pytest
import soundfile
import torch

from espnet2.s3prl.torchaudio_gaps import (
    apply_effects_file,
    apply_effects_tensor,
    fill_torchaudio_gaps,
    info,
    load,
)
from espnet2.utils.errors import ConfigError


@pytest.fixture
def stereo(tmp_path):
    """(path, samples (N, 2)): half a second at 8 kHz, 16 bits."""
    time = np.arange(4000) / 8000
    samples = np.stack([np.sin(2 * np.pi * 440 * time), np.zeros(4000)], axis=1) * 0.5
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="PCM_16")
    return tmp_path / "a.wav", samples


def test_info_tells_what_s3prl_asks(stereo):
    found = info(stereo[0])
    assert (found.sample_rate, found.num_frames, found.num_channels) == (8000, 4000, 2)
    assert (found.bits_per_sample, found.encoding) == (16, "PCM_16")


def test_load_gives_channels_first_and_parts(stereo):
    path, samples = stereo
    wav, rate_hz = load(path)
    assert (wav.shape, wav.dtype, rate_hz) == ((2, 4000), torch.float32, 8000)
    assert np.allclose(wav.numpy().T, samples, atol=1e-4)
    part, _ = load(path, frame_offset=100, num_frames=50)
    assert torch.equal(part, wav[:, 100:150])
    with pytest.raises(ConfigError, match=r"torchaudio.load\(normalize\) needs torchcodec"):
        load(path, normalize=False)


def test_the_effects_of_superb_mix_resample_and_lower(stereo):
    path, samples = stereo
    effects = [["channels", "1"], ["rate", "16000"], ["gain", "-6.0205999"]]
    wav, rate_hz = apply_effects_file(path, effects)
    assert (wav.shape, rate_hz) == ((1, 8000), 16000)
    expected = samples.mean(1) * 0.5
    assert np.abs(wav.numpy()[0, ::2] - expected)[100:-100].max() < 2e-3


def test_an_effect_that_is_gone_is_refused_by_name():
    with pytest.raises(ConfigError, match="sox effect 'silence 1 0.1' went with torchaudio 2.9"):
        apply_effects_tensor(torch.zeros(1, 10), 16000, [["silence", "1", "0.1"]])


def test_the_gaps_are_filled_once_and_what_is_there_is_kept(tmp_path, monkeypatch):
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio/__init__.py").write_text("info = 'its own'\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("torchaudio", "torchaudio.sox_effects"):
        monkeypatch.setitem(sys.modules, name, None)  # what is put here is taken out again
        del sys.modules[name]
    fill_torchaudio_gaps()
    torchaudio = importlib.import_module("torchaudio")
    effects = importlib.import_module("torchaudio.sox_effects")
    assert effects.apply_effects_file is apply_effects_file
    fill_torchaudio_gaps()
    assert torchaudio.sox_effects is effects
    assert torchaudio.info == "its own"
    assert callable(torchaudio.set_audio_backend)
