"""Audio files in, 16 kHz mono out: 16 bits to store, or floats as they are.

Steps: locate the bytes, decode with libsndfile, take the segment, downmix, resample with soxr,
trim silent edges if asked, round to 16 bits, hash, encode as FLAC. Bytes that already are
16 kHz mono 16-bit FLAC and need no cut are passed through untouched.
"""

import contextlib
import hashlib
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.utils.errors import DataError

PCM_SCALE = 32768.0  # what libsndfile multiplies floats by when it writes 16-bit integers
TRIM_FRAME_SAMPLES = 320  # 20 ms: resolution of the silence trim
_ARK_ADDRESS = re.compile(r"^(?P<ark>.+):(?P<offset>\d+)$")


@dataclass(frozen=True, kw_only=True)
class Pcm:
    """One utterance as it is stored."""

    samples: np.ndarray  # (num_samples,) int16, 16 kHz
    flac: bytes | None  # the source's own bytes, where they can be stored as they are


def source_file(source: str) -> Path:
    """The file behind an address of ``wav.scp``: ``a.wav`` or ``shard.ark:1234``."""
    match = _ARK_ADDRESS.match(source)
    if match and not Path(source).exists():
        return Path(match["ark"])
    return Path(source)


def read_bytes(source: str) -> bytes:
    """The encoded audio at ``source``: a whole file, or one AUDIO record of a Kaldi ark.

    Raises OSError when the file cannot be read and DataError when the record is malformed.
    """
    path = source_file(source)
    if str(path) == source:
        return path.read_bytes()
    with path.open("rb") as ark:
        ark.seek(int(source.rsplit(":", 1)[1]))
        head = ark.read(6)
        if head[:5] != b"AUDIO" or len(head) < 6:
            raise DataError(f"{source}: no AUDIO record at this offset")
        size = int.from_bytes(ark.read(head[5]), "little")
        data = ark.read(size)
    if len(data) != size:
        raise DataError(f"{source}: record cut short: {len(data)} of {size} bytes")
    return data


def duration_s(source: str) -> float:
    """Seconds of audio according to the header alone. Raises OSError or DataError."""
    try:
        if str(source_file(source)) == source:
            info = soundfile.info(source)
        else:
            info = soundfile.info(io.BytesIO(read_bytes(source)))
    except (soundfile.LibsndfileError, TypeError) as error:
        raise DataError(f"{source}: {not_audio(error)}") from None
    return info.frames / info.samplerate


def not_audio(error: Exception) -> str:
    """What libsndfile says of a file it cannot decode, without the name of a buffer in memory."""
    return getattr(error, "error_string", str(error)).strip()


def load_pcm(source: str, start_s: float = 0.0, end_s: float | None = None) -> Pcm:
    """Decode ``source`` (its seconds ``start_s`` to ``end_s``) to 16 kHz mono int16.

    Raises OSError (no such file), DataError (not audio, not finite, segment outside the file).
    """
    with _opened(source, start_s, end_s) as (file, data):
        if start_s == 0 and end_s is None and _is_stored_form(file):
            return Pcm(samples=file.read(dtype="int16"), flac=data)
        return Pcm(samples=to_int16(_mono(source, file, start_s, end_s)), flac=None)


def load_audio(source: str, start_s: float = 0.0, end_s: float | None = None) -> np.ndarray:
    """(samples,) float32 at 16 kHz, mono: like :func:`load_pcm`, not rounded and not clipped."""
    with _opened(source, start_s, end_s) as (file, _):
        return _mono(source, file, start_s, end_s)


@contextlib.contextmanager
def _opened(
    source: str, start_s: float, end_s: float | None
) -> Iterator[tuple[soundfile.SoundFile, bytes | None]]:
    """The open file and, where it was read at once, its bytes; libsndfile's errors get a name."""
    is_whole = start_s == 0 and end_s is None
    is_file = str(source_file(source)) == source
    # A segment of a long recording is read by seeking; a whole file at once.
    data = read_bytes(source) if is_whole or not is_file else None
    try:
        with soundfile.SoundFile(existing(source) if data is None else io.BytesIO(data)) as file:
            yield file, data
    except (soundfile.LibsndfileError, TypeError) as error:
        raise DataError(f"{source}: {not_audio(error)}") from None


def _mono(
    source: str, file: soundfile.SoundFile, start_s: float, end_s: float | None
) -> np.ndarray:
    """(samples,) float32 at 16 kHz: the mean of the channels of a segment, resampled."""
    rate_hz = file.samplerate
    first, count = _segment(source, file, start_s, end_s)
    file.seek(first)
    audio = file.read(count, dtype="float32", always_2d=True)  # (samples, channels)
    if not np.isfinite(audio).all():
        raise DataError(f"{source}: holds NaN or infinite samples")
    channels = audio.shape[1]
    mono = sum(audio[:, c] for c in range(channels)) / np.float32(channels)  # (samples,)
    if rate_hz == SAMPLE_RATE_HZ:
        return mono
    return soxr.resample(mono, rate_hz, SAMPLE_RATE_HZ, quality="HQ")


def existing(path: str) -> str:
    """``path`` again; FileNotFoundError, which libsndfile does not raise, if it is missing."""
    os.stat(path)
    return path


def _is_stored_form(file: soundfile.SoundFile) -> bool:
    """True for 16 kHz mono 16-bit FLAC: what our shards hold."""
    shape = (file.format, file.subtype, file.samplerate, file.channels)
    return shape == ("FLAC", "PCM_16", SAMPLE_RATE_HZ, 1)


def _segment(source, file, start_s: float, end_s: float | None) -> tuple[int, int]:
    """First frame and number of frames of the segment, in the file's own rate."""
    first = round(start_s * file.samplerate)
    last = file.frames if end_s is None else round(end_s * file.samplerate)
    if last > file.frames + file.samplerate // 2:  # tolerate half a second of rounding
        raise DataError(
            f"{source}: segment ends at {end_s} s but the audio at "
            f"{file.frames / file.samplerate:.2f} s"
        )
    last = min(last, file.frames)
    return first, max(last - first, 0)


def to_int16(audio: np.ndarray) -> np.ndarray:
    """Round ±1 floats to 16-bit integers; louder samples are clipped."""
    return np.clip(np.rint(audio * PCM_SCALE), -32768, 32767).astype(np.int16)


def to_float(samples: np.ndarray) -> np.ndarray:
    """16-bit integers as ±1 float32, the inverse of :func:`to_int16`."""
    return samples.astype(np.float32) / np.float32(PCM_SCALE)


def content_hash(samples: np.ndarray) -> str:
    """16 hexadecimal digits of the 16 kHz PCM: equal audio, equal hash."""
    data = np.ascontiguousarray(samples, dtype="<i2").tobytes()
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def level_dbfs(samples: np.ndarray) -> float:
    """Root mean square level in dB below full scale; -inf for silence or no samples."""
    if len(samples) == 0:
        return -np.inf
    power = np.mean(np.square(samples, dtype=np.float64)) / PCM_SCALE**2
    return 10 * np.log10(power) if power > 0 else -np.inf


def trim_edges(samples: np.ndarray, below_peak_db: float, keep_s: float) -> np.ndarray:
    """Cut leading and trailing stretches whose 20 ms frames stay ``below_peak_db`` under the
    loudest frame, but keep ``keep_s`` seconds of them beside the speech."""
    count = len(samples) // TRIM_FRAME_SAMPLES
    if count < 2:
        return samples
    frames = samples[: count * TRIM_FRAME_SAMPLES].reshape(count, -1)  # (frames, 320)
    power = np.einsum("ts,ts->t", frames, frames, dtype=np.float64)
    if power.max() == 0:
        return samples
    loud = np.flatnonzero(power > power.max() * 10 ** (-below_peak_db / 10))
    keep = round(keep_s * SAMPLE_RATE_HZ)
    first = max(loud[0] * TRIM_FRAME_SAMPLES - keep, 0)
    last = min((loud[-1] + 1) * TRIM_FRAME_SAMPLES + keep, len(samples))
    return samples[first:last]


def encode_flac(samples: np.ndarray) -> bytes:
    """16 kHz mono 16-bit FLAC of (num_samples,) int16."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def encode_wav(samples: np.ndarray) -> bytes:
    """16 kHz mono 16-bit WAV of (num_samples,) int16."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def decode_flac(data: bytes) -> np.ndarray:
    """(num_samples,) float32 in ±1 of FLAC bytes from a shard. Raises DataError."""
    try:
        audio, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    except (soundfile.LibsndfileError, TypeError) as error:
        raise DataError(f"not a FLAC record: {not_audio(error)}") from None
    return audio
