"""Frozen features of one encoder and one split: computed once, memory-mapped, 16 bit.

A folder holds ``features.json`` and ``NNN.bin`` chunks; an utterance is (T, L, D) in one stretch,
so that mixing layers and projecting is one matrix product. Whether a split is stored at all is
measured (``feature_rule.py``); where it is not, ``TunedModel`` computes the same numbers.
Shapes: T frames of 20 ms, L layers, D width.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from espnet2.asr.config import EncoderSpec, FeatureConfig
from espnet2.asr.encoder_files import encoder_files
from espnet2.asr.encoders import Encoder, build_encoder
from espnet2.asr.feature_rule import Storage, measured_storage, sample_rows, without_measuring
from espnet2.asr.layer_std import SAMPLE_S, layer_std
from espnet2.asr.waves import measured, read_wave
from espnet2.data.frames import SAMPLE_RATE_HZ, num_frames
from espnet2.data.kaldi import Utterance, audio_listing
from espnet2.ssl.extract import padded_groups
from espnet2.utils.config import to_dict
from espnet2.utils.files import atomic_path, read_json, sha256_file, sha256_text, write_json
from espnet2.utils.logs import log

BYTES = 2  # of a bfloat16 or float16


class FeatureStore:
    """Features of a split, by row of its Kaldi directory (C order)."""

    def __init__(self, folder: Path) -> None:
        about = read_json(folder / "features.json")
        self.utt_ids: list[str] = about["utt_ids"]
        self.frames = np.array(about["frames"], dtype=np.int64)  # (utterances,)
        self.num_layers, self.dim = about["num_layers"], about["dim"]
        self.layer_std: list[float] | None = about.get("layer_std")
        self.dtype = getattr(torch, about["dtype"])
        self.chunks = [map_chunk(folder / name) for name in about["chunks"]]
        self.chunk_of = np.repeat(np.arange(len(self.chunks)), about["chunk_rows"])
        self.offsets = chunk_offsets(self.frames, about["chunk_rows"])  # frames into the chunk

    def features(self, rows: list[int]) -> list[Tensor]:
        """(T, L, D) of each row, views of the file."""
        return [self.one(row) for row in rows]

    def one(self, row: int) -> Tensor:
        """(T, L, D) of one row."""
        size = self.num_layers * self.dim
        start, count = int(self.offsets[row]) * size, int(self.frames[row]) * size
        flat = self.chunks[self.chunk_of[row]][start : start + count]
        return torch.from_numpy(flat).view(self.dtype).view(-1, self.num_layers, self.dim)


def write_features(
    data_dir: Path, encoder: EncoderSpec, export: Path | None, config: FeatureConfig, device: str,
    out: Path,
) -> dict[str, float]:  # fmt: skip
    """Compute and store a split; a killed run goes on at the chunk it was in.

    Audio that cannot be read, or is shorter than one frame, has no frames and a row of dropped.tsv.
    """
    utterances, lengths, content = measured(data_dir, out)
    settings = {
        "encoder": to_dict(encoder),
        "config": to_dict(config),
        "weights": [sha256_file(path) for path in encoder_files(encoder, export)],
        "audio": sha256_text(f"{content} {lengths.tolist()}"),
    }
    forget_other_chunks(out, settings, data_dir)
    built = build_encoder(encoder, export, device, config.amp)
    frames = num_frames(lengths)
    size_gb = int(frames.sum()) * built.num_layers * built.dim * BYTES / 1e9
    storage = decide(out, size_gb, built, utterances, lengths, config)
    groups = chunk_rows(lengths, config.chunk_s) if storage.is_kept else []
    names = [f"{index:03d}.bin" for index in range(len(groups))]
    for name, rows in zip(names, groups, strict=True):
        if not (out / name).is_file():
            write_chunk(out / name, built, [utterances[i] for i in rows], lengths[rows], config)
    write_json(
        out / "features.json",
        {
            "utt_ids": [u.utt_id for u in utterances], "frames": frames.tolist(),
            "num_layers": built.num_layers, "dim": built.dim, "dtype": config.dtype,
            "chunks": names, "chunk_rows": [len(rows) for rows in groups],
            "layer_std": measured_std(utterances, lengths, built, config),
            "content": [sha256_file(out / name) for name in names],
            "settings": settings,
        },
    )  # fmt: skip
    hours = float(lengths.sum()) / SAMPLE_RATE_HZ / 3600
    log(f"features {out}: {len(frames)} utts / {hours:.2f} h, {built.num_layers} layers")
    return {"hours": hours, "gb": size_gb}


def forget_other_chunks(out: Path, settings: dict[str, Any], data_dir: Path) -> None:
    """Keep the chunks of an interrupted run with these settings; remove all others.

    ``settings`` leave out the times of files: the same features have the same record.
    """
    begun = {**settings, "files": audio_listing(data_dir)}
    saved, is_complete = out / "settings.json", (out / "features.json").is_file()
    if is_complete or not saved.is_file() or read_json(saved) != begun:
        for path in [*out.glob("*.bin"), *out.glob("features.json"), *out.glob("storage.json")]:
            path.unlink()
    write_json(saved, begun)


def decide(
    out: Path, size_gb: float, encoder: Encoder, utterances: list[Utterance], lengths: np.ndarray,
    config: FeatureConfig,
) -> Storage:  # fmt: skip
    """Whether to store; said in the log and in storage.json, which a killed run goes on with."""
    saved = out / "storage.json"
    if saved.is_file():
        return Storage(**read_json(saved))

    def make(rows: list[int]) -> list[np.ndarray]:
        made = encode_rows(rows, utterances, lengths, encoder, config)
        return [x.view(torch.uint16).numpy() for x in made]

    storage = without_measuring(size_gb, config)
    if storage is None:
        storage = measured_storage(size_gb, lengths / SAMPLE_RATE_HZ, make, out)
    write_json(saved, storage.as_dict())
    what = "stored" if storage.is_kept else "not stored, the encoder runs in every step"
    times = ""
    if storage.compute_s_per_hour is not None:
        times = (
            f" (an hour of audio: {storage.compute_s_per_hour:.1f} s to compute, "
            f"{storage.read_s_per_hour:.1f} s to read)"
        )
    log(f"features {out}: {size_gb:.2f} GB, {what}: {storage.reason}{times}")
    return storage


def measured_std(
    utterances: list[Utterance], lengths: np.ndarray, encoder: Encoder, config: FeatureConfig
) -> list[float] | None:
    """(L,) of ``layer_std`` of a sample of the split, where it is asked for."""
    if config.normalise is None:
        return None
    has_audio = num_frames(lengths).any()
    rows = sample_rows(lengths / SAMPLE_RATE_HZ, SAMPLE_S) if has_audio else []
    return layer_std(encode_rows(rows, utterances, lengths, encoder, config))


def encode_rows(
    rows: list[int], utterances: list[Utterance], lengths: np.ndarray, encoder: Encoder,
    config: FeatureConfig,
) -> Iterator[Tensor]:  # fmt: skip
    """(T, L, D) in 16 bits of some rows of a split, those of like length together."""
    for group in padded_groups(lengths[rows], config.batch_s) if rows else []:
        yield from encode(encoder, [read_wave(utterances[rows[i]]) for i in group], config)


def chunk_rows(lengths: np.ndarray, chunk_s: float) -> list[np.ndarray]:
    """Consecutive rows, about ``chunk_s`` seconds of audio each."""
    before = np.cumsum(lengths) - lengths
    number = (before / (chunk_s * SAMPLE_RATE_HZ)).astype(np.int64)
    edges = np.flatnonzero(np.diff(number)) + 1
    return [rows for rows in np.split(np.arange(len(lengths)), edges) if len(rows)]


def chunk_offsets(frames: np.ndarray, rows: list[int]) -> np.ndarray:
    """First frame of each utterance, counted within its chunk."""
    starts = np.cumsum(frames) - frames
    edges = np.cumsum([0, *rows])[:-1]
    return starts - np.repeat(starts[edges], rows) if len(edges) else starts


def write_chunk(
    path: Path, encoder: Encoder, utterances: list[Utterance], lengths: np.ndarray,
    config: FeatureConfig,
) -> None:  # fmt: skip
    """Encode utterances in batches of like length and write them in their order."""
    frames = num_frames(lengths)
    offsets = np.cumsum(frames) - frames
    shape = (max(int(frames.sum()), 1), encoder.num_layers, encoder.dim)
    with atomic_path(path) as part:
        reserve(part, math.prod(shape) * BYTES)
        table = np.memmap(part, dtype=np.uint16, mode="r+", shape=shape)
        for rows in padded_groups(lengths, config.batch_s):
            rows = [row for row in rows if frames[row]]
            waves = [read_wave(utterances[row]) for row in rows]
            for row, x in zip(rows, encode(encoder, waves, config), strict=True):
                place = slice(offsets[row], offsets[row] + frames[row])
                table[place] = x.view(torch.uint16).numpy()
        table.flush()
        del table


def reserve(path: Path, num_bytes: int) -> None:
    """Create a file that owns its disk space.

    A map of a sparse file would end the process with SIGBUS on a full disk; this is an OSError.
    """
    with open(path, "wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, num_bytes)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None


def encode(encoder: Encoder, waves: list[np.ndarray], config: FeatureConfig) -> list[Tensor]:
    """(T, L, D) in 16 bits of each wave, its mean removed where asked."""
    if not waves:
        return []
    outputs = []
    for x in encoder.features(waves):  # (L, T, D)
        centred = x - x.mean(dim=1, keepdim=True) if config.centre else x
        outputs.append(centred.transpose(0, 1).to(getattr(torch, config.dtype)).contiguous())
    return outputs


def map_chunk(path: Path) -> np.ndarray:
    """A chunk as a flat array of 16-bit words; "c": the file itself is never written to."""
    return np.memmap(path, dtype=np.uint16, mode="c")
