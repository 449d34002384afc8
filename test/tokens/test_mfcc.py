import kaldi_native_fbank as kaldi
import numpy as np
import pytest
import torch
from tiny_tokens import tones

from espnet2.data.frames import num_frames
from espnet2.tokens.teachers.mfcc import MfccConfig, MfccTeacher, cepstra, normalised
from espnet2.tokens.teachers.registry import build_teacher
from espnet2.utils.errors import ConfigError


def signal(length, seed=0):
    return tones(length, seed).astype(np.float32) / 32768


@pytest.mark.parametrize("length", [400, 401, 559, 560, 719, 720, 1039, 1040, 16000, 16079, 31999])
def test_there_is_one_frame_for_every_frame_of_the_cnn(length):
    frames = MfccTeacher(MfccConfig()).frames([signal(length)])
    assert frames.values.shape == (num_frames(length), 39)
    assert frames.lengths.tolist() == [num_frames(length)]
    assert frames.values.dtype == torch.float32


@pytest.mark.parametrize("length", [0, 1, 399])
def test_a_clip_below_one_window_has_no_frames(length):
    frames = MfccTeacher(MfccConfig()).frames([signal(length), signal(400)])
    assert frames.lengths.tolist() == [0, 1]


def test_frame_t_sees_the_samples_that_frame_t_of_the_cnn_sees():
    quiet = signal(16000)
    changed = quiet.copy()
    changed[320 * 20 + 399] += 0.5  # the last sample of frame 20, of frame 21 too, none before
    before, after = cepstra(quiet)[::2], cepstra(changed)[::2]
    differs = np.flatnonzero((before != after).any(axis=1))
    assert differs.tolist() == [20, 21]


def kaldis_cepstra(wave):
    """Kaldi's own (F, 13) of a wave in ±1."""
    options = kaldi.MfccOptions()
    options.frame_opts.dither = 0.0
    options.use_energy = False
    online = kaldi.OnlineMfcc(options)
    online.accept_waveform(16000, (wave * 32768).tolist())
    online.input_finished()
    return np.stack([online.get_frame(i) for i in range(online.num_frames_ready)])


def test_cepstra_are_kaldis():
    wave = signal(24000)
    np.testing.assert_allclose(cepstra(wave), kaldis_cepstra(wave), atol=5e-3)


@pytest.mark.skipif(
    not hasattr(kaldi, "compute_deltas"), reason="kaldi-native-fbank has deltas since 1.23"
)
def test_slopes_are_kaldis():
    wave = signal(24000)
    every = kaldi.compute_deltas(kaldi.DeltaOptions(), kaldis_cepstra(wave))
    ours = MfccTeacher(MfccConfig(normalise="none")).utterance(wave)
    np.testing.assert_allclose(ours, every[::2], atol=5e-3)


def test_normalising_takes_out_level_and_a_fixed_filter():
    wave = signal(16000)
    loud = MfccTeacher(MfccConfig(normalise="mean")).utterance(wave)
    quiet = MfccTeacher(MfccConfig(normalise="mean")).utterance(wave / 4)
    np.testing.assert_allclose(loud, quiet, atol=1e-2)
    scaled = normalised(cepstra(wave), "mean_variance")
    assert scaled.mean(axis=0) == pytest.approx(np.zeros(13), abs=1e-4)
    assert scaled.std(axis=0) == pytest.approx(np.ones(13), rel=1e-4)


@pytest.mark.parametrize("how", ["none", "mean", "mean_variance"])
def test_digital_silence_stays_finite(how):
    frames = MfccTeacher(MfccConfig(normalise=how)).utterance(np.zeros(16000, dtype=np.float32))
    assert np.isfinite(frames).all()
    assert (frames == frames[0]).all()


def test_frames_do_not_depend_on_the_batch():
    clips = [signal(length, seed) for seed, length in enumerate([400, 5000, 16000, 7000])]
    teacher = MfccTeacher(MfccConfig())
    together = np.split(teacher.frames(clips).values, np.cumsum([1, 15, 49]))
    for alone, clip in zip(together, clips, strict=True):
        np.testing.assert_array_equal(alone, teacher.frames([clip]).values)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("mfc", {}, "teacher 'mfc' is not one of mfcc, xeus, wavlablm, hf; did you mean 'mfcc'"),
        ("mfcc", {"normalize": "mean"}, "normalize is not a known key; did you mean 'normalise'"),
        ("mfcc", {"normalise": "cmvn"}, "normalise must be one of none, mean, mean_variance"),
        ("mfcc", {"smooth_frames": 4}, "smooth_frames must be odd and positive, got 4"),
    ],
)
def test_a_wrong_teacher_is_refused_with_a_guess(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        build_teacher(name, settings)


def test_smoothing_is_a_triangular_mean_of_neighbours():
    signal = np.random.default_rng(0).standard_normal(8000).astype(np.float32) * 0.1
    plain = MfccTeacher(MfccConfig()).utterance(signal)
    smooth = MfccTeacher(MfccConfig(smooth_frames=3)).utterance(signal)
    assert smooth.shape == plain.shape
    middle = (plain[:-2] + 2 * plain[1:-1] + plain[2:]) / 4
    np.testing.assert_allclose(smooth[1:-1], middle, rtol=1e-4, atol=1e-4)
