"""Teacher ``mfcc``: 13 cepstra with deltas and delta-deltas (HuBERT's first iteration).

Kaldi's MFCC (25 ms every 10 ms, Povey window, 23 mel bands from 20 Hz, 13 cepstra with C0, lifter
22, no dither) on the scale of 16-bit audio, then every second frame: frame t covers the samples
[320 t, 320 t + 400) that frame t of XEUS's CNN sees, and there are exactly as many.

NumPy and SciPy only, one utterance at a time, on the CPU: an utterance's frames never depend on its
batch.

Shapes: S samples, F frames of 10 ms, T frames of 20 ms, W 400 samples of a window, M mel bands.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from scipy.fft import dct, rfft

from espnet2.data.frames import RECEPTIVE_SAMPLES, SAMPLE_RATE_HZ
from espnet2.tokens.teachers.base import Frames, each_alone, pack
from espnet2.utils.errors import ConfigError

SHIFT_SAMPLES = 160  # 10 ms; two of them are one frame of the CNN
FFT_SAMPLES = 512  # the next power of two above a window of 400 samples
LOW_HZ, HIGH_HZ = 20.0, SAMPLE_RATE_HZ / 2
NUM_MELS, NUM_CEPSTRA = 23, 13
LIFTER = 22.0
PREEMPHASIS = 0.97
PCM_SCALE = 32768.0  # Kaldi reads 16-bit integers, we read ±1
ENERGY_FLOOR = np.finfo(np.float32).eps  # under the log, as in Kaldi: silence stays finite
SLOPE = np.array([-2, -1, 0, 1, 2]) / 10  # weights of a regression line over ±2 frames
NORMALISATIONS = ("none", "mean", "mean_variance")


@dataclass(frozen=True, kw_only=True)
class MfccConfig:
    """Settings of the teacher."""

    normalise: str = "mean"
    """Per utterance and dimension: "none", "mean" (cepstral mean normalisation) or
    "mean_variance"."""

    smooth_frames: int = 1
    """Frames of 20 ms that a triangular window averages over; odd, 1 for none. Smoother frames give
    labels that last longer and are easier to predict from their neighbours."""


class MfccTeacher:
    """39-d frames: cepstra, their slope, the slope's slope."""

    dim = 3 * NUM_CEPSTRA
    computed = "cpu float32"

    def __init__(self, config: MfccConfig, device: str = "cpu") -> None:
        """``device``: where the frames are put; they are made on the CPU."""
        if config.normalise not in NORMALISATIONS:
            raise ConfigError(
                f"teacher_conf: normalise must be one of {', '.join(NORMALISATIONS)}, "
                f"got {config.normalise!r}"
            )
        if config.smooth_frames < 1 or config.smooth_frames % 2 == 0:
            raise ConfigError(
                f"teacher_conf: smooth_frames must be odd and positive, got {config.smooth_frames}"
            )
        self.config, self.device = config, torch.device(device)

    def groups(self, num_samples: np.ndarray) -> list[np.ndarray]:
        """See ``Teacher``."""
        return each_alone(num_samples)

    def frames(self, audio: Sequence[np.ndarray]) -> Frames:
        """Frames of a batch of signals (S,); see ``Teacher``."""
        parts = [torch.from_numpy(self.utterance(signal)) for signal in audio]
        return pack([part.to(self.device) for part in parts], self.dim, self.device)

    def utterance(self, signal: np.ndarray) -> np.ndarray:
        """(S,) in ±1 -> (T, 39) float32; nothing for fewer than 400 samples."""
        if len(signal) < RECEPTIVE_SAMPLES:
            return np.zeros((0, self.dim), dtype=np.float32)
        first = cepstra(signal)  # (F, 13)
        parts = [first, weighted(first, SLOPE), weighted(first, np.convolve(SLOPE, SLOPE))]
        every = np.concatenate(parts, axis=1)  # (F, 39)
        frames = normalised(every, self.config.normalise)[::2]  # (T, 39)
        return weighted(frames, triangle(self.config.smooth_frames))

    def identity(self) -> dict[str, Any]:
        """Name, layer and settings."""
        return {"teacher": "mfcc", "layer": 0, **asdict(self.config)}


def cepstra(signal: np.ndarray) -> np.ndarray:
    """13 cepstra every 10 ms: (S,) -> (F, 13), for S of at least 400."""
    scaled = np.asarray(signal, dtype=np.float32) * np.float32(PCM_SCALE)
    emphasised = scaled.copy()
    emphasised[1:] -= np.float32(PREEMPHASIS) * scaled[:-1]
    # Kaldi takes a window's mean out first; after the filter 1 - PREEMPHASIS of it is left to take
    # out. A window's first sample would differ, but the window weighs it with zero.
    level = np.float32(1 - PREEMPHASIS) * cut(scaled).mean(axis=1, keepdims=True)  # (F, 1)
    frames = (cut(emphasised) - level) * window()  # (F, W)
    spectrum = rfft(frames, FFT_SAMPLES)
    power = spectrum.real**2 + spectrum.imag**2  # (F, 257)
    mels = np.log(np.maximum(power @ mel_weights(), ENERGY_FLOOR))  # (F, M)
    return mels @ cepstrum_weights()


def cut(signal: np.ndarray) -> np.ndarray:
    """Windows every 10 ms, a view: (S,) -> (F, W)."""
    return np.lib.stride_tricks.sliding_window_view(signal, RECEPTIVE_SAMPLES)[::SHIFT_SAMPLES]


def weighted(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted sum of each frame's neighbours, the edge frames repeated: (F, D) -> (F, D)."""
    count, reach = len(values), len(weights) // 2
    padded = values[np.clip(np.arange(-reach, count + reach), 0, count - 1)]
    return sum(np.float32(w) * padded[i : i + count] for i, w in enumerate(weights) if w)


def triangle(width: int) -> np.ndarray:
    """Weights (width,) that rise to the middle and fall again; they sum to one."""
    weights = np.bartlett(width + 2)[1:-1]
    return weights / weights.sum()


def normalised(values: np.ndarray, how: str) -> np.ndarray:
    """Mean (and variance) of each column of one utterance taken out: (F, D) -> (F, D)."""
    if how == "none":
        return values
    values = values - values.mean(axis=0)
    if how == "mean":
        return values
    # A constant column (digital silence) stays zero instead of becoming noise or NaN.
    return values / np.maximum(values.std(axis=0), np.float32(1e-3))


@cache
def window() -> np.ndarray:
    """Kaldi's Povey window: a Hann window to the power 0.85; (W,)."""
    phase = 2 * np.pi * np.arange(RECEPTIVE_SAMPLES) / (RECEPTIVE_SAMPLES - 1)
    return ((0.5 - 0.5 * np.cos(phase)) ** 0.85).astype(np.float32)


@cache
def mel_weights() -> np.ndarray:
    """Triangles of equal width on the mel scale: (257, M). The Nyquist bin is not used (Kaldi)."""
    edges = np.linspace(mel(LOW_HZ), mel(HIGH_HZ), NUM_MELS + 2)  # (M + 2,)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    bins = mel(np.arange(FFT_SAMPLES // 2 + 1) * SAMPLE_RATE_HZ / FFT_SAMPLES)[:, None]
    up, down = (bins - left) / (centre - left), (right - bins) / (right - centre)
    weights = np.maximum(np.minimum(up, down), 0)
    weights[-1] = 0
    return weights.astype(np.float32)


@cache
def cepstrum_weights() -> np.ndarray:
    """Orthonormal cosine transform and lifter in one matrix: (M, 13)."""
    cosine = dct(np.eye(NUM_MELS), type=2, norm="ortho", axis=1)[:, :NUM_CEPSTRA]
    lifter = 1 + LIFTER / 2 * np.sin(np.pi * np.arange(NUM_CEPSTRA) / LIFTER)
    return (cosine * lifter).astype(np.float32)


def mel(hertz: np.ndarray | float) -> np.ndarray:
    """Kaldi's mel scale."""
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)
