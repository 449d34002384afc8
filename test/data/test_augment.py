import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2.data.augment import (
    FFT_BLOCK,
    augment,
    convolve,
    direct_path,
    draw_mixture,
    is_active,
    mix,
    reverberate,
    speech_power,
)


def noise(n, seed=0, level=0.1):
    return (level * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def mix_random(audio, other, snr_db, max_share, rng):
    return augment(audio, draw_mixture(audio, other, snr_db, max_share, rng), None)


def reference_activity(audio):
    """The detector written as its definition reads, frame by frame."""
    if len(audio) < 1024 or not audio.any():
        return np.ones(len(audio), bool)
    frames = []
    start = 0
    while True:
        frame = np.zeros(1024)
        part = audio[start : start + 1024]
        frame[: len(part)] = part
        frames.append(np.mean(frame**2))
        if start + 1024 >= len(audio):
            break
        start += 512
    is_loud = np.array(frames) > 0.01 * np.mean(frames)
    return np.array([is_loud[min(i // 512, len(is_loud) - 1)] for i in range(len(audio))])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 6000), st.integers(0, 99))
def test_activity_follows_its_definition_for_any_length(length, seed):
    audio = noise(length, seed)
    audio[length // 3 : length // 2] *= 1e-3
    np.testing.assert_array_equal(is_active(audio), reference_activity(audio))


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 20.0])
def test_the_measured_ratio_is_the_one_asked_for(snr_db):
    audio, stretch = noise(16000), noise(4000, 1, level=0.02)
    mixed = mix(audio, stretch, snr_db, start=5000)
    added = (mixed - audio)[5000:9000]
    measured = 10 * np.log10(speech_power(audio) / np.mean(added.astype(np.float64) ** 2))
    assert measured == pytest.approx(snr_db, abs=1e-3)
    np.testing.assert_array_equal(np.delete(mixed, slice(5000, 9000)),
                                  np.delete(audio, slice(5000, 9000)))  # fmt: skip


def test_silence_around_speech_does_not_change_the_ratio():
    speech = noise(16000)
    padded = np.concatenate([np.zeros(16000, np.float32), speech, np.zeros(16000, np.float32)])
    assert speech_power(padded) == pytest.approx(speech_power(speech), rel=0.1)


def test_inputs_are_never_written_to_and_the_same_draw_gives_the_same_audio():
    audio, other, rir = noise(8000), noise(9000, 1), noise(200, 2)
    for array in (audio, other, rir):
        array.flags.writeable = False
    results = [
        reverberate(mix_random(audio, other, (-5, 5), 0.5, np.random.default_rng(3)), rir, 7)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*results)
    assert results[0].dtype == np.float32


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 3000), st.integers(0, 2**32))
def test_any_lengths_mix_into_at_most_half_of_the_utterance(length, noise_length, seed):
    audio = noise(length)
    mixed = mix_random(audio, noise(noise_length, 1), (-5, 20), 0.5, np.random.default_rng(seed))
    changed = np.flatnonzero(mixed != audio)
    assert len(mixed) == length
    assert np.isfinite(mixed).all()
    if len(changed):
        assert changed[-1] - changed[0] < max(length // 2, 1)


def test_a_pause_of_the_interferer_is_not_blown_up():
    audio, other = noise(16000), noise(16000, 1)
    other[:15000] *= 1e-4
    rngs = [np.random.default_rng(seed) for seed in range(50)]
    mixed = [mix_random(audio, other[:15900], (0, 0), 0.1, rng) for rng in rngs]
    loudest = max(np.abs(m - audio).max() for m in mixed)
    assert loudest < 20 * np.abs(audio).max()
    np.testing.assert_array_equal(
        mix_random(audio, np.zeros(900, np.float32), (0, 0), 0.5, np.random.default_rng(0)), audio
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_an_impulse_keeps_its_place_to_the_sample(sign):
    rir = np.zeros(900, np.float32)
    rir[130], rir[131:] = sign, 0.3 * noise(769, 4)
    rir[40] = 0.2  # before the direct path and smaller
    audio = np.zeros(5000, np.float32)
    audio[[700, 3000]] = 1.0
    wet = reverberate(audio, rir, direct_path(rir))
    assert direct_path(rir) == 130
    assert sorted(np.argsort(-np.abs(wet))[:2]) == [700, 3000]


@settings(max_examples=25, deadline=None)
@given(st.integers(400, 4000), st.integers(1, 600), st.integers(0, 99))
def test_reverberation_is_the_shifted_convolution_with_the_old_energy(length, taps, seed):
    audio, rir = noise(length, seed), noise(taps, seed + 1)
    delay = direct_path(rir)
    wet = reverberate(audio, rir, delay)
    expected = np.convolve(audio.astype(np.float64), rir)[delay : delay + length]
    expected *= np.sqrt(np.sum(audio.astype(np.float64) ** 2) / np.sum(expected**2))
    np.testing.assert_allclose(wet, expected, atol=1e-4 * np.abs(expected).max())
    assert np.sum(wet.astype(np.float64) ** 2) == pytest.approx(
        np.sum(audio.astype(np.float64) ** 2), rel=1e-4
    )


@pytest.mark.parametrize(
    ("length", "taps"),
    [(1, 1), (1, 500), (2 * FFT_BLOCK, 1), (5 * FFT_BLOCK + 17, 9000), (40_000, 40_000),
     (3 * FFT_BLOCK, FFT_BLOCK), (FFT_BLOCK, 2)],
)  # fmt: skip
def test_overlapping_blocks_give_the_whole_convolution(length, taps):
    audio, rir = noise(length), noise(taps, 1)
    size = length + taps - 1
    spectra = (np.fft.rfft(signal.astype(np.float64), size) for signal in (audio, rir))
    expected = np.fft.irfft(np.prod(list(spectra), axis=0), size) if size > 1 else audio * rir
    result = convolve(audio, rir)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_silence_stays_silence():
    silent = np.zeros(1000, np.float32)
    np.testing.assert_array_equal(reverberate(silent, noise(50), 3), silent)
    np.testing.assert_array_equal(
        mix_random(silent, noise(50), (0, 0), 0.5, np.random.default_rng(0)), silent
    )
