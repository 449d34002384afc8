"""Noise and reverberation as pure functions: new arrays out, every choice from one generator.

Noise first, then the room, as in XEUS (arXiv 2407.00837). Audio comes in cropped, labels stay
those of the clean audio: reverberation is shifted back by its direct-path delay, so nothing moves.

What happens to a row is drawn first (``Mixture``, ``Room``) and applied later: row by row here, or
a whole batch at once on a device (``augment_torch``).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

ACTIVITY_FRAME, ACTIVITY_HOP = 1024, 512  # samples; frames of the activity detector
ACTIVITY_SHARE = 0.01  # of the mean frame power: quieter frames are silence
QUIETEST_STRETCH = 0.01  # of a noise's mean power: a quieter stretch is not amplified further
MIN_POWER = 1e-10
FFT_BLOCK = 2**15  # samples; 20 s of audio is reverberated 2 to 3 times as fast as in one FFT


@dataclass(frozen=True, kw_only=True)
class MixConfig:
    """What may happen to the audio of a training batch."""

    noise_prob: float = 0.2
    """Chance that something is mixed into an utterance (XEUS)."""

    speech_share: float = 0.5
    """Share of the mixed ones that get another utterance of the batch instead of a noise."""

    noise_snr_db: tuple[float, float] = (-5.0, 20.0)
    """Range of the signal-to-noise ratio of noise, in dB (defaults of the authors' code)."""

    speech_snr_db: tuple[float, float] = (-5.0, 5.0)
    """The same for another utterance."""

    max_mixed_share: float = 0.5
    """Longest mixed stretch, as a share of the utterance."""

    rir_prob: float = 0.3
    """Chance that an utterance is reverberated (XEUS)."""

    augment_on: Literal["loader", "device"] = "loader"
    """Where noise and rooms are applied: in the loader's processes, or batched where the model is.
    The draws are the same, the audio is equal to within float32 rounding."""


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """What is mixed into a row, drawn and not yet applied."""

    noise: np.ndarray  # (length,) float32, the stretch to add
    snr_db: float  # between the active speech of the row and the stretch
    start: int  # sample of the row where the stretch begins


@dataclass(frozen=True, kw_only=True)
class Room:
    """The room a row is heard in."""

    rir: np.ndarray  # (taps,) float32 impulse response
    delay: int  # its direct path, argmax |rir|


CLEAN = MixConfig(noise_prob=0.0, rir_prob=0.0)


def is_active(audio: np.ndarray) -> np.ndarray:
    """(samples,) bool, True where the audio is not silence.

    Frames of 1024 samples every 512 are active above 1 % of the mean frame power; a frame decides
    about its first 512 samples. Short or all-zero audio counts as active.
    """
    if len(audio) < ACTIVITY_FRAME or not audio.any():
        return np.ones(len(audio), bool)
    halves = -(-len(audio) // ACTIVITY_HOP)
    squares = np.zeros((halves + 1) * ACTIVITY_HOP, np.float32)
    squares[: len(audio)] = audio * audio
    power = squares.reshape(halves + 1, ACTIVITY_HOP).sum(axis=1, dtype=np.float64)
    frames = -(-(len(audio) - ACTIVITY_FRAME) // ACTIVITY_HOP) + 1
    power = (power[:-1] + power[1:])[:frames]  # (frames,)
    active = np.repeat(power > ACTIVITY_SHARE * power.mean(), ACTIVITY_HOP)
    tail = np.full(max(len(audio) - len(active), 0), active[-1])
    return np.concatenate([active, tail])[: len(audio)]


def speech_power(audio: np.ndarray) -> float:
    """Mean square of the active samples."""
    active = audio[is_active(audio)]
    return float(np.dot(active, active)) / max(len(active), 1)


def mix(audio: np.ndarray, noise: np.ndarray, snr_db: float, start: int) -> np.ndarray:
    """Add a stretch of noise (length,) at sample ``start`` of ``audio``; returns a new array.

    The ratio holds between the active speech of ``audio`` and the stretch itself.
    """
    power = float(np.dot(noise, noise)) / max(len(noise), 1)
    scale = 10 ** (-snr_db / 20) * np.sqrt(speech_power(audio) / max(power, MIN_POWER))
    mixed = audio.copy()
    mixed[start : start + len(noise)] += np.float32(scale) * noise
    return mixed


def draw_mixture(
    audio: np.ndarray,
    noise: np.ndarray,
    snr_db: tuple[float, float],
    max_share: float,
    rng: np.random.Generator,
) -> Mixture | None:
    """A random stretch of ``noise`` for a random place of ``audio`` at a random ratio.

    The stretch is 1 sample to ``max_share`` of the audio long. None for digital silence.
    """
    snr = rng.uniform(*snr_db)
    longest = min(max(int(len(audio) * max_share), 1), len(noise))
    length = int(rng.integers(1, longest + 1)) if longest else 0
    start = int(rng.integers(0, len(audio) - length + 1))
    noise_start = int(rng.integers(0, len(noise) - length + 1))
    stretch = np.asarray(noise[noise_start : noise_start + length], np.float32)
    power = float(np.dot(stretch, stretch)) / max(length, 1)
    mean_power = float(np.dot(noise, noise)) / max(len(noise), 1)
    if mean_power < MIN_POWER or not audio.any():
        return None
    if power < QUIETEST_STRETCH * mean_power:  # a pause of the interferer stays a pause
        snr += 10 * np.log10(QUIETEST_STRETCH * mean_power / max(power, MIN_POWER))
    return Mixture(noise=stretch, snr_db=float(snr), start=start)


def augment(audio: np.ndarray, mixture: Mixture | None, room: Room | None) -> np.ndarray:
    """(samples,) float32: noise first, then the room; without either, ``audio`` itself."""
    if mixture:
        audio = mix(audio, mixture.noise, mixture.snr_db, mixture.start)
    return reverberate(audio, room.rir, room.delay) if room else audio


def reverberate(audio: np.ndarray, rir: np.ndarray, delay: int) -> np.ndarray:
    """Audio as heard in a room: (samples,) float32 of the same length, place and energy.

    rir: (taps,) impulse response; delay: its direct path, ``argmax |rir|``. The result is shifted
    back by the delay, so an impulse stays where it is, and scaled to the energy of ``audio``.
    """
    audio = np.asarray(audio, np.float32)
    wet = convolve(audio, np.asarray(rir, np.float32))[delay : delay + len(audio)]
    energy, wet_energy = float(np.dot(audio, audio)), float(np.dot(wet, wet))
    if wet_energy <= MIN_POWER * len(audio):
        return audio.copy()
    return wet * np.float32(np.sqrt(energy / wet_energy))


def convolve(audio: np.ndarray, rir: np.ndarray) -> np.ndarray:
    """(samples + taps - 1,) float32: the whole convolution, by overlapping blocks."""
    total = len(audio) + len(rir) - 1
    size = max(FFT_BLOCK, 1 << (2 * len(rir) - 1).bit_length())
    if total <= size:
        size = next_fast_len(total, real=True)
        return irfft(rfft(audio, size) * rfft(rir, size), size)[:total]
    step = size - len(rir) + 1  # samples of audio in a block; longer than what rings on after it
    count = -(-len(audio) // step)
    blocks = np.zeros((count, step), np.float32)
    blocks.reshape(-1)[: len(audio)] = audio
    wet = irfft(rfft(blocks, size, axis=1) * rfft(rir, size), size, axis=1)  # (count, size)
    whole = np.zeros((count + 1, step), np.float32)
    whole[:-1] = wet[:, :step]
    whole[1:, : size - step] += wet[:, step:]
    return whole.reshape(-1)[:total]


def direct_path(rir: np.ndarray) -> int:
    """Sample of the direct path of a room (taps,): the largest magnitude, whatever its sign."""
    return int(np.argmax(np.abs(rir)))
