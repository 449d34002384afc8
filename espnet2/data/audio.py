"""Audio in, 16 kHz mono out: 16 bits to store, or floats as they are.

Steps: open the source (``sources.py``), decode with libsndfile a block at a time, take the segment,
downmix, resample with soxr, round to 16 bits. Bytes that already are 16 kHz mono 16-bit FLAC and
need no cut are passed through untouched.
"""

import contextlib
import hashlib
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from espnet2.data.damaged import refuse_damaged, size_of
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.parquet import estimated_seconds, is_parquet
from espnet2.data.sources import is_seekable, open_seekable, read_bytes
from espnet2.utils.errors import DataError

PCM_SCALE = 32768.0  # what libsndfile multiplies floats by when it writes 16-bit integers
TRIM_FRAME_SAMPLES = 320  # 20 ms: resolution of the silence trim
LOWEST_RATE_HZ = 1000  # of a recording; a header with less is damaged
BLOCK_SAMPLES = 1 << 20  # decoded at once, of all channels together, however long the recording
WHOLE_BYTES = 1 << 24  # larger files are decoded where they are, not read into memory first
UNKNOWN_LENGTH = 1 << 62  # libsndfile gives a larger number where a header states no length


class TooLong(DataError):
    """The audio is longer than asked for; it was not decoded."""

    def __init__(self, source: str, seconds: float, longest_s: float):
        super().__init__(f"{source}: {seconds:.3f} s; at most {longest_s:g} s are kept")
        self.seconds = seconds


@dataclass(frozen=True, kw_only=True)
class Pcm:
    """One utterance as it is stored."""

    samples: np.ndarray  # (num_samples,) int16, 16 kHz
    flac: bytes | None  # the source's own bytes, where they can be stored as they are


class AudioFile(soundfile.SoundFile):
    """A file that is read forwards.

    soundfile looks for its place after every read, which costs time and fails at the end of a FLAC
    whose header states a wrong length or none. It does not where a file cannot seek.
    """

    def seekable(self) -> bool:
        return False


def duration_s(source: str) -> float:
    """Seconds of audio according to the header alone; of Parquet, according to the row's size.

    Raises OSError or DataError; a command has no header.
    """
    if is_parquet(source):
        return estimated_seconds(source)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_named_errors(source))
        file = stack.enter_context(open_seekable(source))
        refuse_damaged(source, file)
        audio = stack.enter_context(_audio_file(source, file))
        if audio.frames >= UNKNOWN_LENGTH:
            raise DataError(f"{source}: the header states no length")
        return audio.frames / audio.samplerate


@contextlib.contextmanager
def _named_errors(source: str) -> Iterator[None]:
    """libsndfile's errors become a DataError that names the source."""
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise DataError(f"{source}: {not_audio(error)}") from None


def _audio_file(source: str, file: BinaryIO) -> AudioFile:
    """The open audio of a file. soundfile raises TypeError for what it takes for samples alone."""
    try:
        return AudioFile(file)
    except TypeError as error:
        raise DataError(f"{source}: {not_audio(error)}") from None


def not_audio(error: Exception) -> str:
    """What libsndfile says of a file it cannot decode, without the name of a buffer in memory."""
    return getattr(error, "error_string", str(error)).strip()


def load_pcm(
    source: str,
    start_s: float = 0.0,
    end_s: float | None = None,
    longest_s: float = math.inf,
    fetch: Callable[[str], bytes] = read_bytes,
) -> Pcm:
    """Decode ``source`` (its seconds ``start_s`` to ``end_s``) to 16 kHz mono int16.

    fetch: reads the bytes of what cannot be read in part; give one that remembers, and the
    segments of a recording read it once.
    Raises OSError (no such file), TooLong (over ``longest_s`` by its header), DataError (not audio,
    cut short, not finite, segment outside the file).
    """
    with _opened(source, start_s, end_s, fetch) as (audio, data):
        first, count = _segment(source, audio, start_s, end_s)
        seconds = count / audio.samplerate
        if count < UNKNOWN_LENGTH and seconds > longest_s + 1e-3:  # resampling rounds
            raise TooLong(source, seconds, longest_s)
        if not _is_plain(audio):
            parts = [to_int16(block) for block in _mono(source, audio, first, count)]
            return Pcm(samples=_joined(parts, np.int16), flac=None)
        samples = _joined(
            [b[:, 0] for b in _blocks(source, audio, first, count, "int16")], np.int16
        )
        is_whole = audio.format == "FLAC" and first == 0 and len(samples) == audio.frames
        return Pcm(samples=samples, flac=data if is_whole else None)


def load_audio(source: str, start_s: float = 0.0, end_s: float | None = None) -> np.ndarray:
    """(samples,) float32 at 16 kHz, mono: like :func:`load_pcm`, not rounded and not clipped."""
    with _opened(source, start_s, end_s, read_bytes) as (audio, _):
        first, count = _segment(source, audio, start_s, end_s)
        return _joined(list(_mono(source, audio, first, count)), np.float32)


@contextlib.contextmanager
def _opened(
    source: str, start_s: float, end_s: float | None, fetch: Callable[[str], bytes]
) -> Iterator[tuple[AudioFile, bytes | None]]:
    """The open audio and, where it was read at once, its bytes."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_named_errors(source))
        file, data = None, None
        if is_seekable(source):
            file = stack.enter_context(open_seekable(source))
            # A segment of a long recording is read by seeking; a whole short file at once.
            if start_s == 0 and end_s is None and size_of(file) <= WHOLE_BYTES:
                data = file.read()
        else:
            data = fetch(source)
        file = file if data is None else io.BytesIO(data)
        refuse_damaged(source, file, to_the_end=end_s is None)
        yield stack.enter_context(_audio_file(source, file)), data


def _segment(source: str, audio: AudioFile, start_s: float, end_s: float | None) -> tuple[int, int]:
    """First sample and number of samples of the segment, in the file's own rate."""
    rate_hz, available = audio.samplerate, audio.frames
    if rate_hz < LOWEST_RATE_HZ:
        raise DataError(f"{source}: its sampling rate, {rate_hz} Hz, cannot be right")
    first = round(start_s * rate_hz)
    last = available if end_s is None else round(end_s * rate_hz)
    if max(first, last) > available + rate_hz // 2:  # tolerate half a second of rounding
        edge = f"ends at {end_s}" if end_s is not None else f"begins at {start_s}"
        raise DataError(f"{source}: segment {edge} s but the audio at {available / rate_hz:.2f} s")
    first = min(first, available)
    return first, max(min(last, available) - first, 0)


def _blocks(
    source: str, audio: AudioFile, first: int, count: int, dtype: str
) -> Iterator[np.ndarray]:
    """The segment, (samples, channels) at a time. Raises DataError if there is less of it."""
    if first:
        audio.seek(first)
    missing, size = count, max(BLOCK_SAMPLES // audio.channels, 1)
    while missing > 0:
        asked = min(missing, size)
        block = audio.read(asked, dtype=dtype, always_2d=True)
        missing -= len(block)
        yield block
        if len(block) < asked:
            break
    # The length of an MP3 is an estimate, and some headers state none.
    if missing and count < UNKNOWN_LENGTH and audio.format != "MP3":
        raise DataError(
            f"{source}: cut short: {count - missing} samples decode of the {count} that it states"
        )


def _mono(source: str, audio: AudioFile, first: int, count: int) -> Iterator[np.ndarray]:
    """(samples,) float32 at 16 kHz, a block at a time: the mean of the channels, resampled."""
    stream = soxr.ResampleStream(audio.samplerate, SAMPLE_RATE_HZ, 1, "float32", quality="HQ")
    is_resampled = audio.samplerate != SAMPLE_RATE_HZ
    # 16 bits are read as they are, which takes a quarter of the time; in float32 they are exact.
    dtype = "int16" if audio.subtype == "PCM_16" else "float32"
    may_be_infinite = not audio.subtype.startswith("PCM_")
    for block in _blocks(source, audio, first, count, dtype):  # (samples, channels)
        if may_be_infinite and not np.isfinite(block).all():
            raise DataError(f"{source}: holds NaN or infinite samples")
        mono = mean_of_channels(block)
        yield stream.resample_chunk(mono) if is_resampled else mono
    if is_resampled:
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def mean_of_channels(block: np.ndarray) -> np.ndarray:
    """(samples,) float32 in ±1 of (samples, channels) float32, or int16."""
    mono = block[:, 0].astype(np.float32)
    for channel in range(1, block.shape[1]):
        mono += block[:, channel]
    if block.shape[1] > 1:
        mono /= np.float32(block.shape[1])
    if block.dtype == np.int16:
        mono *= np.float32(1 / PCM_SCALE)
    return mono


def _joined(parts: list[np.ndarray], dtype: type) -> np.ndarray:
    """The parts as one array, without a copy where there is one part."""
    if len(parts) == 1:
        return np.ascontiguousarray(parts[0])
    return np.concatenate([np.zeros(0, dtype), *parts])


def _is_plain(audio: AudioFile) -> bool:
    """True for 16 kHz mono 16-bit integers, which need no conversion."""
    shape = (audio.subtype, audio.samplerate, audio.channels)
    return shape == ("PCM_16", SAMPLE_RATE_HZ, 1)


def to_int16(audio: np.ndarray) -> np.ndarray:
    """Round ±1 floats to 16-bit integers; louder samples are clipped."""
    scaled = audio * PCM_SCALE
    np.rint(scaled, out=scaled)
    return np.clip(scaled, -32768, 32767, out=scaled).astype(np.int16)


def to_float(samples: np.ndarray) -> np.ndarray:
    """16-bit integers as ±1 float32, the inverse of :func:`to_int16`."""
    return samples.astype(np.float32) / np.float32(PCM_SCALE)


def content_hash(samples: np.ndarray) -> str:
    """16 hexadecimal digits of the 16 kHz PCM: equal audio, equal hash."""
    data = np.ascontiguousarray(samples, dtype="<i2")
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def level_dbfs(samples: np.ndarray) -> float:
    """Root mean square level in dB below full scale; -inf for silence or no samples."""
    if len(samples) == 0:
        return -np.inf
    audio = samples.astype(np.float64)
    power = np.dot(audio, audio) / len(audio) / PCM_SCALE**2
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
