"""Stage 7: which utterances share batch ``s``, as a function of the seed and ``s`` alone.

Utterances are bucketed by length; a batch holds utterances of one bucket, all cropped to its
length. Each bucket is an endless stream: pass after pass over its rows, each in its own random
order, cut into batches without a gap; so every row appears exactly once a pass and no batch is
short. Cycle ``c`` of the run holds ``floor((c+1) r) - floor(c r)`` batches of a bucket with ``r``
batches a pass, in random order: buckets are visited in proportion to their audio. Nothing is
kept: batch ``s`` is computed from ``s``, for any number of ranks.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from espnet2.data.buckets import crop_lengths, repeat_counts
from espnet2.data.config import PlanConfig
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.index import Index
from espnet2.data.permutation import Permutation
from espnet2.data.tsv import Dropped, write_dropped
from espnet2.utils.config import to_dict
from espnet2.utils.errors import DataError
from espnet2.utils.files import atomic_path, read_json, sha256_file, write_json


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Utterances that are cropped to one length."""

    num_samples: int  # crop length, a multiple of 320
    first: int  # first entry of rows.npy
    count: int  # entries of rows.npy: utterances, repeats included
    batch: int  # utterances in a batch


@dataclass(frozen=True, kw_only=True)
class PlannedBatch:
    """One global batch. Rank r of R takes ``rows[r::R]``."""

    rows: np.ndarray  # (n,) rows of the index
    visits: np.ndarray  # (n,) how often the row was drawn before, counting repeats; for seeds
    num_samples: int  # crop length of every utterance
    epoch: int  # passes over this bucket completed before the batch's first row


class Plan:
    """A plan on disk, memory-mapped. ``plan.batch(step)`` for any step, in any order."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        if not (self.folder / "plan.json").is_file():
            raise DataError(f"{self.folder}: holds no plan.json; run stage 7 (plan) first")
        self.summary = read_json(self.folder / "plan.json")
        self.rows = np.load(self.folder / "rows.npy", mmap_mode="r", allow_pickle=False)
        self.buckets = [Bucket(**bucket) for bucket in self.summary["buckets"]]
        self.seed: int = self.summary["seed"]
        self._counts = np.array([b.count for b in self.buckets], dtype=object)  # exact integers
        self._batches = np.array([b.batch for b in self.buckets], dtype=object)
        self._permutation = lru_cache(maxsize=256)(self._new_permutation)

    @classmethod
    def open(cls, folder: Path | str) -> "Plan":
        """The plan in ``dump/<set>/plan``. Raises DataError if there is none."""
        return cls(Path(folder))

    def __reduce__(self):
        return Plan, (self.folder,)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the plan: equal plans give equal batches."""
        return sha256_file(self.folder / "plan.json")

    @property
    def steps_per_pass(self) -> float:
        """Steps in one pass over the set, on average."""
        return float(sum(b.count / b.batch for b in self.buckets))

    def batch(self, step: int) -> PlannedBatch:
        """The global batch of ``step``; raises DataError for an empty plan."""
        if step < 0 or not self.buckets:
            raise DataError(f"{self.folder}: no batch for step {step}: {len(self.buckets)} buckets")
        number, k = self._locate(int(step))
        bucket = self.buckets[number]
        stream = k * bucket.batch + np.arange(bucket.batch, dtype=np.int64)
        epochs, positions = np.divmod(stream, bucket.count)
        picked = np.empty_like(stream)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            order = self._permutation(bucket.count, "rows", number, int(epoch))
            picked[here] = order(positions[here])
        rows = np.asarray(self.rows[bucket.first + picked], dtype=np.int64)
        return PlannedBatch(
            rows=rows,
            visits=self._visits(bucket, rows, picked, epochs),
            num_samples=bucket.num_samples,
            epoch=int(epochs[0]),
        )

    def _locate(self, step: int) -> tuple[int, int]:
        """Bucket of ``step``, and which of the bucket's batches it is."""
        cycle = int(step / self.steps_per_pass)
        while self._before(cycle).sum() > step:
            cycle -= 1
        while self._before(cycle + 1).sum() <= step:
            cycle += 1
        before = self._before(cycle)  # (buckets,) batches in earlier cycles
        ends = np.cumsum(self._before(cycle + 1) - before)
        order = self._permutation(int(ends[-1]), "cycle", cycle)
        slot = int(order(np.array([step - int(before.sum())]))[0])
        number = int(np.searchsorted(ends.astype(np.int64), slot, side="right"))
        first = int(ends[number - 1]) if number else 0
        return number, int(before[number]) + slot - first

    def _before(self, cycle: int) -> np.ndarray:
        """(buckets,) batches of each bucket before ``cycle``, as Python integers."""
        return cycle * self._counts // self._batches

    def _visits(
        self, bucket: Bucket, rows: np.ndarray, picked: np.ndarray, epochs: np.ndarray
    ) -> np.ndarray:
        """(n,) times each row was drawn before; repeats of a row are neighbours in rows.npy."""
        entries = self.rows[bucket.first : bucket.first + bucket.count]
        first = np.searchsorted(entries, rows, side="left")
        repeats = np.searchsorted(entries, rows, side="right") - first
        return epochs * repeats + (picked - first)

    def _new_permutation(self, size: int, *names: str | int) -> Permutation:
        return Permutation(size, self.seed, "plan", *names)


def build_plan(index_path: Path, out: Path, config: PlanConfig, seed: int) -> dict[str, float]:
    """Write OUT/rows.npy, OUT/plan.json and OUT/dropped.tsv for one index.

    Utterances shorter than the shortest bucket (only with ``bucket_s``) are dropped with a row.
    Returns what the plan costs: hours, steps and bytes of one pass.
    """
    index = Index.open(index_path)
    repeats = repeat_counts(index, config, seed)
    lengths = np.repeat(index.num_samples, repeats)
    edges = crop_lengths(lengths, config) if len(index) else np.zeros(0, np.int64)
    bucket_of = np.searchsorted(edges, index.num_samples, side="right") - 1  # (rows,)
    short = np.flatnonzero(bucket_of < 0)
    repeats[short] = 0
    bucket_of = merge_small(bucket_of, repeats, len(edges), config.batch_multiple)
    rows, buckets = [], []
    for number, length in enumerate(edges):
        members = np.flatnonzero(bucket_of == number)
        entries = np.repeat(members, repeats[members]).astype(np.uint32)
        if len(entries):
            first = buckets[-1].first + buckets[-1].count if buckets else 0
            batch = batch_size(int(length), len(entries), config)
            buckets.append(
                Bucket(num_samples=int(length), first=first, count=len(entries), batch=batch)
            )
            rows.append(entries)
    with atomic_path(out / "rows.npy") as part, part.open("wb") as file:
        np.save(file, np.concatenate(rows) if rows else np.zeros(0, np.uint32), allow_pickle=False)
    write_dropped(out / "dropped.tsv", too_short(index, short, edges))
    summary = summarise(index, repeats, buckets, len(short))
    plan = {
        **summary,
        "seed": seed,
        "config": to_dict(config),
        "buckets": [to_dict(bucket) for bucket in buckets],
        "index_sha256": sha256_file(index.path),
        "rows_sha256": sha256_file(out / "rows.npy"),
    }
    write_json(out / "plan.json", plan)
    return summary


def merge_small(
    bucket_of: np.ndarray, repeats: np.ndarray, count: int, batch_multiple: int
) -> np.ndarray:
    """Move buckets too small for one batch into the next shorter one; (rows,) bucket numbers."""
    bucket_of = bucket_of.copy()
    for number in range(count - 1, 0, -1):
        members = bucket_of == number
        if repeats[members].sum() < batch_multiple:
            bucket_of[members] = number - 1
    return bucket_of


def batch_size(num_samples: int, count: int, config: PlanConfig) -> int:
    """Utterances in a batch: as many as fit the budget and the bucket, a multiple of
    ``batch_multiple``."""
    multiple = config.batch_multiple
    fits = config.batch_bins // num_samples // multiple * multiple
    return max(min(fits, count // multiple * multiple), multiple)


def too_short(index: Index, short: np.ndarray, edges: np.ndarray) -> list[Dropped]:
    """Rows of dropped.tsv for utterances under the shortest bucket."""
    return [
        Dropped(
            utt_id=index.utt_ids[i], reason="shorter than the shortest bucket",
            detail=f"{index.num_samples[i]} of {edges[0]} samples",
        )
        for i in short
    ]  # fmt: skip


def summarise(
    index: Index, repeats: np.ndarray, buckets: list[Bucket], num_short: int
) -> dict[str, float]:
    """What one pass costs."""
    drawn = float(np.dot(index.num_samples.astype(np.float64), repeats))
    kept = float(sum(b.count * b.num_samples for b in buckets))
    return {
        "utterances": len(index),
        "too_short": num_short,
        "hours": index.hours,
        "hours_per_pass": drawn / SAMPLE_RATE_HZ / 3600,
        "cropped_share": 1 - kept / drawn if drawn else 0.0,
        "steps_per_pass": float(sum(b.count / b.batch for b in buckets)),
        "audio_bytes_per_pass": int(np.dot(index.nbytes, repeats)),
        "label_bytes": int(index.frames.sum(dtype=np.int64)) * 2,
    }
