"""Frozen features of one encoder and one split: computed once, memory-mapped, 16 bit.

A folder holds ``features.json`` and ``NNN.bin`` chunks; an utterance is (T, L, D) in one stretch,
so that mixing layers and projecting is one matrix product. Rule for the disk: a split that needs
more than ``disk_budget_gb`` is not stored; ``open_features`` then computes the same numbers.
Shapes: T frames of 20 ms, L layers, D width.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from espnet2.asr.config import EncoderSpec, FeatureConfig
from espnet2.asr.encoders import Encoder, build_encoder, checkpoint_in
from espnet2.data.audio import load_pcm, to_float
from espnet2.data.frames import SAMPLE_RATE_HZ, num_frames
from espnet2.data.kaldi import Utterance, audio_listing, read_kaldi
from espnet2.data.tsv import Dropped, write_dropped
from espnet2.ssl.extract import padded_groups
from espnet2.utils.config import to_dict
from espnet2.utils.errors import DataError
from espnet2.utils.files import atomic_path, read_json, sha256_file, sha256_text, write_json
from espnet2.utils.logs import log

BYTES = 2  # of a bfloat16 or float16


@dataclass(frozen=True, kw_only=True)
class FeatureSource:
    """All that decides the features of a split."""

    data_dir: Path
    """Kaldi directory."""

    encoder: EncoderSpec
    export: Path | None
    config: FeatureConfig
    device: str = "cpu"

    def build(self) -> Encoder:
        """The encoder, ready to use."""
        return build_encoder(self.encoder, self.export, self.device, self.config.amp)


class FeatureStore:
    """Features of a split, by row of its Kaldi directory (C order)."""

    def __init__(self, folder: Path) -> None:
        about = read_json(folder / "features.json")
        self.utt_ids: list[str] = about["utt_ids"]
        self.frames = np.array(about["frames"], dtype=np.int64)  # (utterances,)
        self.num_layers, self.dim = about["num_layers"], about["dim"]
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


class LiveFeatures:
    """The same features, computed when asked for: for splits that are too large for the disk."""

    def __init__(self, source: FeatureSource, folder: Path) -> None:
        about = read_json(folder / "features.json")
        self.utt_ids: list[str] = about["utt_ids"]
        self.frames = np.array(about["frames"], dtype=np.int64)
        self.num_layers, self.dim = about["num_layers"], about["dim"]
        self.source, self.encoder = source, source.build()
        utterances = {u.utt_id: u for u in read_kaldi(source.data_dir)}
        self.utterances = [utterances[utt_id] for utt_id in self.utt_ids]

    def features(self, rows: list[int]) -> list[Tensor]:
        """(T, L, D) of each row."""
        waves = [read_wave(self.utterances[row]) for row in rows]
        return encode(self.encoder, waves, self.source.config)


def open_features(folder: Path, source: FeatureSource | None) -> FeatureStore | LiveFeatures:
    """The features that ``write_features`` left in ``folder``.

    Raises:
        DataError: there are none.
    """
    if not (folder / "features.json").is_file():
        raise DataError(f"{folder} holds no features; run stage 11 (finetune) first")
    if read_json(folder / "features.json")["chunks"] or source is None:
        return FeatureStore(folder)
    return LiveFeatures(source, folder)


def write_features(
    data_dir: Path, encoder: EncoderSpec, export: Path | None, config: FeatureConfig, device: str,
    out: Path,
) -> dict[str, float]:  # fmt: skip
    """Compute and store a split; a killed run goes on at the chunk it was in.

    Audio that cannot be read, or is shorter than one frame, has no frames and a row of dropped.tsv.
    """
    source = FeatureSource(
        data_dir=data_dir, encoder=encoder, export=export, config=config, device=device
    )
    utterances, lengths = measured(data_dir, out)
    settings = forget_other_chunks(out, source, lengths)
    built = source.build()
    frames = num_frames(lengths)
    size_gb = int(frames.sum()) * built.num_layers * built.dim * BYTES / 1e9
    groups = chunk_rows(lengths, config.chunk_s) if size_gb <= config.disk_budget_gb else []
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
            "content": [sha256_file(out / name) for name in names],
            "settings": settings,
        },
    )  # fmt: skip
    hours = float(lengths.sum()) / SAMPLE_RATE_HZ / 3600
    kept = f"{size_gb:.2f} GB" if groups else f"{size_gb:.0f} GB is over the budget: not stored"
    log(f"features {out}: {len(frames)} utts / {hours:.2f} h, {built.num_layers} layers, {kept}")
    return {"hours": hours, "gb": size_gb}


def forget_other_chunks(out: Path, source: FeatureSource, lengths: np.ndarray) -> dict[str, Any]:
    """Keep the chunks of an interrupted run with these settings; remove all others.

    Returns the settings without the times of files: the same features have the same record.
    """
    export = source.encoder.path or source.export
    has_weights = source.encoder.kind == "export" and export is not None
    settings = {
        "encoder": to_dict(source.encoder),
        "config": to_dict(source.config),
        "weights": sha256_file(checkpoint_in(export)) if has_weights else None,
        "audio": sha256_text(f"{sha256_file(source.data_dir / 'wav.scp')} {lengths.tolist()}"),
    }
    begun = {**settings, "files": audio_listing(source.data_dir)}
    saved, is_complete = out / "settings.json", (out / "features.json").is_file()
    if is_complete or not saved.is_file() or read_json(saved) != begun:
        for path in [*out.glob("*.bin"), *out.glob("features.json")]:
            path.unlink()
    write_json(saved, begun)
    return settings


def measured(data_dir: Path, out: Path) -> tuple[list[Utterance], np.ndarray]:
    """Utterances of a directory and their samples at 16 kHz; unreadable ones have none."""
    utterances = read_kaldi(data_dir)
    lengths, dropped = [], []
    for utterance in utterances:
        try:
            lengths.append(len(read_wave(utterance)))
        except (DataError, OSError) as error:
            lengths.append(0)
            reason, detail = "unreadable audio", str(error)
        else:
            reason, detail = "shorter than a frame", f"{lengths[-1]} samples"
        if not num_frames(lengths[-1]):
            dropped.append(Dropped(utt_id=utterance.utt_id, reason=reason, detail=detail))
    write_dropped(out / "dropped.tsv", dropped)
    return utterances, np.array(lengths, dtype=np.int64)


def read_wave(utterance: Utterance) -> np.ndarray:
    """(samples,) float32 in +-1 at 16 kHz."""
    return to_float(load_pcm(utterance.source, utterance.start_s, utterance.end_s).samples)


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
