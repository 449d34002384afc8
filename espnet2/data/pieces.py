"""Packing: utterances laid end to end on the frame grid and cut into pieces of one length.

Each (corpus, language) is a stream in a random order of its own, and the streams follow each
other, so that only what is left after the last whole piece of the set is lost. Frames
``[start, stop)`` of an utterance bring samples ``[320 start, 320 stop)``; the last part of a piece
brings 80 samples more, so that a piece of F frames holds ``320 (F - 1) + 400`` samples.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet2.data.buckets import Bucket, Draft, batch_size
from espnet2.data.config import PlanConfig
from espnet2.data.frames import HOP_SAMPLES, RECEPTIVE_SAMPLES, SAMPLE_RATE_HZ, num_frames
from espnet2.data.index import Index
from espnet2.data.tsv import Dropped
from espnet2.utils.errors import ConfigError
from espnet2.utils.seeding import rng_for


@dataclass(frozen=True, kw_only=True)
class Part:
    """Frames ``[start, stop)`` of an utterance."""

    row: int  # of the index
    start: int  # frame
    stop: int  # frame


class Stream:
    """Utterances end to end, cut into pieces of ``frames`` frames. Picklable and memory-mapped.

    rows: (entries,) uint32 rows of the index in the stream's order. starts: (entries + 1,) uint64
    ascending first frames of the entries in the stream, then the stream's length.
    """

    def __init__(self, rows: np.ndarray, starts: np.ndarray, frames: int):
        self.rows, self.starts, self.frames = rows, starts, frames

    @classmethod
    def open(cls, folder: Path, num_samples: int) -> "Stream":
        """The stream of a plan's folder, in pieces of ``num_samples`` samples."""
        rows, starts = (
            np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in ("rows", "starts")
        )
        return cls(rows, starts, num_frames(num_samples))

    @property
    def count(self) -> int:
        """Whole pieces in the stream."""
        return int(self.starts[-1]) // self.frames

    def parts(self, piece: int) -> list[Part]:
        """What piece number ``piece`` is made of, in order."""
        begin, end = piece * self.frames, (piece + 1) * self.frames
        # Needles of the array's own type: any other would make numpy copy the whole array.
        first = int(np.searchsorted(self.starts, np.uint64(begin), side="right")) - 1
        last = int(np.searchsorted(self.starts, np.uint64(end), side="left"))
        edges = np.asarray(self.starts[first : last + 1]).astype(np.int64)
        cut = np.clip(edges, begin, end)
        return [
            Part(row=int(row), start=int(cut[i] - edges[i]), stop=int(cut[i + 1] - edges[i]))
            for i, row in enumerate(self.rows[first:last])
        ]

    def pieces_of_entries(self) -> np.ndarray:
        """(entries,) how many pieces hold a part of each entry."""
        starts = self.starts.astype(np.int64)
        begin, end = starts[:-1] // self.frames, -(-starts[1:] // self.frames)
        return np.maximum(np.minimum(end, self.count) - begin, 0)


def pack(index: Index, repeats: np.ndarray, config: PlanConfig, seed: int) -> Draft:
    """Plan pieces of ``config.pack_s`` seconds. repeats: (rows,) times to use each utterance.

    Raises ConfigError when ``pack_s`` is no frame long or one piece a rank exceeds ``batch_bins``.
    """
    frames = piece_frames(config)
    num_samples = (frames - 1) * HOP_SAMPLES + RECEPTIVE_SAMPLES
    repeats = np.where(index.frames > 0, repeats, 0)
    rows = stream_order(index, repeats, seed)
    starts = np.zeros(len(rows) + 1, np.uint64)
    np.cumsum(index.frames[rows], dtype=np.uint64, out=starts[1:])
    stream = Stream(rows, starts, frames)
    buckets = []
    if stream.count:
        batch = batch_size(num_samples, stream.count, config)
        buckets = [Bucket(num_samples=num_samples, first=0, count=stream.count, batch=batch)]
    return Draft(
        arrays={"rows": rows, "starts": starts},
        buckets=buckets,
        repeats=repeats,
        reads=np.bincount(rows, weights=stream.pieces_of_entries(), minlength=len(index)),
        dropped=left_over(index, stream),
    )


def piece_frames(config: PlanConfig) -> int:
    """Frames of a piece, or the ConfigError of :func:`pack`."""
    frames = num_frames(round(config.pack_s * SAMPLE_RATE_HZ))
    longest = num_frames(config.batch_bins // config.batch_multiple)
    if not 1 <= frames <= longest:
        raise ConfigError(
            f"plan: pack_s {config.pack_s} must lie between 0.025 s and batch_bins / "
            f"batch_multiple = {config.batch_bins / config.batch_multiple / SAMPLE_RATE_HZ:g} s"
        )
    if config.bucket_s:
        raise ConfigError("plan: pack_s and bucket_s exclude each other; leave one of them out")
    return frames


def stream_order(index: Index, repeats: np.ndarray, seed: int) -> np.ndarray:
    """(entries,) uint32 rows: by corpus, then language, in a random order within."""
    corpora, languages = index.corpora, index.languages
    group = corpora.codes.astype(np.int64) * len(languages.names) + languages.codes
    by_group = np.argsort(group, kind="stable")  # (rows,)
    streams = {}
    for members in np.split(by_group, np.flatnonzero(np.diff(group[by_group])) + 1):
        if len(members):
            name = corpora[int(members[0])], languages[int(members[0])]
            entries = np.repeat(members, repeats[members]).astype(np.uint32)
            streams[name] = rng_for(seed, "pack", *name).permutation(entries)
    return np.concatenate([np.zeros(0, np.uint32), *(streams[name] for name in sorted(streams))])


def left_over(index: Index, stream: Stream) -> list[Dropped]:
    """Rows of dropped.tsv: utterances without a frame, and those wholly after the last piece."""
    first = int(np.searchsorted(stream.starts, np.uint64(stream.count * stream.frames)))
    rest = np.setdiff1d(stream.rows[first:], stream.rows[:first])
    reasons = [(row, "shorter than a frame") for row in np.flatnonzero(index.frames == 0)]
    reasons += [(row, "after the last whole piece") for row in rest]
    return [
        Dropped(
            utt_id=index.utt_ids[row], reason=reason, detail=f"{index.num_samples[row]} samples"
        )
        for row, reason in reasons
    ]
