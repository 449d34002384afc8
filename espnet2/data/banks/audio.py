"""Reading audio for the banks, at any rate and with any number of channels."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from espnet2.data.audio import AudioFile, not_audio
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.utils.errors import DataError


@contextlib.contextmanager
def opened(path: Path) -> Iterator[AudioFile]:
    """The open file. Raises DataError, with the reason, where it cannot be read."""
    try:
        with AudioFile(path) as file:
            yield file
    except (soundfile.LibsndfileError, OSError) as error:
        reason = not_audio(error) if path.exists() else "no such file"
        raise DataError(f"{path}: {reason}") from None


def mono_stretches(path: Path, stretch_s: float) -> Iterator[np.ndarray]:
    """(samples,) float32 at 16 kHz, the mean of the channels: ``stretch_s`` seconds at a time.

    A recording of any length is never in memory as a whole.
    """
    with opened(path) as file:
        frames = round(stretch_s * file.samplerate)
        while len(audio := read_finite(path, file, frames)):
            yield at_16_khz(audio.mean(axis=1), file.samplerate)


def one_channel(path: Path, rng: np.random.Generator, longest_s: float) -> np.ndarray:
    """(samples,) float32 at 16 kHz: one channel, drawn by ``rng``, of at most ``longest_s``.

    Microphones of an array hear the direct path at different times: a mean would smear it.
    """
    with opened(path) as file:
        channel = int(rng.integers(file.channels))
        audio = read_finite(path, file, round(longest_s * file.samplerate))
        return at_16_khz(np.ascontiguousarray(audio[:, channel]), file.samplerate)


def read_finite(path: Path, file: AudioFile, frames: int) -> np.ndarray:
    """(frames, channels) float32, fewer at the end of the file. Raises DataError for a NaN."""
    audio = file.read(frames, dtype="float32", always_2d=True)
    if not np.isfinite(audio).all():
        raise DataError(f"{path}: holds NaN or infinite samples")
    return audio


def at_16_khz(audio: np.ndarray, rate_hz: int) -> np.ndarray:
    """(samples,) float32 resampled by soxr, whose filter is symmetric: delays stay exact."""
    if rate_hz == SAMPLE_RATE_HZ or not len(audio):
        return audio
    return soxr.resample(audio, rate_hz, SAMPLE_RATE_HZ, quality="HQ")
