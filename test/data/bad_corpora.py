"""Data directories with something wrong in them, written file by file."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

RATE_HZ = 16000


def noise(seconds, seed, rate_hz=RATE_HZ):
    """(samples,) float64, other audio for every seed; seed 0 is silence."""
    samples = np.random.default_rng(seed).uniform(-0.3, 0.3, round(seconds * rate_hz))
    return samples if seed else 0 * samples


def write_audio(path, seconds=1.0, seed=1, rate_hz=RATE_HZ, channels=1, subtype=None, bad=None):
    """A sound file; ``bad`` replaces its middle sample. Returns the path."""
    audio = noise(seconds, seed, rate_hz)
    if bad is not None:
        audio[len(audio) // 2] = bad
    audio = np.stack([audio] * channels, axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, rate_hz, subtype=subtype)
    return path


def write_parquet(path, rows):
    """A Hugging Face data set: rows of (id, language, audio bytes or None)."""
    audio = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("id", pa.string()), ("language", pa.string()), ("audio", audio)])
    path.parent.mkdir(parents=True, exist_ok=True)
    audio_of = [{"bytes": data, "path": None} for _, _, data in rows]
    table = [
        {"id": row[0], "language": row[1], "audio": audio}
        for row, audio in zip(rows, audio_of, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(table, schema), path)
    return path


def flac_bytes(seconds, seed):
    buffer = io.BytesIO()
    soundfile.write(buffer, noise(seconds, seed), RATE_HZ, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def write_lines(path, rows):
    """``id value`` lines in C order of the ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = sorted(rows, key=lambda row: row[0].encode())
    path.write_text("".join(f"{key} {value}\n" for key, value in rows), encoding="utf-8")


def write_valid(folder):
    """A valid directory of two recordings, cut into three segments."""
    for seed, name in enumerate(("r1", "r2"), start=1):
        write_audio(folder / "audio" / f"{name}.wav", 3.0, seed)
    write_lines(folder / "wav.scp", [(n, folder / "audio" / f"{n}.wav") for n in ("r1", "r2")])
    spans = {"a": "r1 0.0 1.0", "b": "r1 1.0 2.5", "c": "r2 0.0 2.0"}
    write_lines(folder / "segments", spans.items())
    write_lines(folder / "utt2lang", [(key, "eng") for key in spans])
    write_lines(folder / "utt2spk", [(key, "s1") for key in spans])
    write_lines(folder / "spk2utt", [("s1", "a b c")])
    write_lines(folder / "utt2dur", [("a", 1.0), ("b", 1.5), ("c", 2.0)])
    write_lines(folder / "text", [(key, f"words of {key}") for key in spans])
    return folder
