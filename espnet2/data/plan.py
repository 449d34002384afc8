"""Stage 7: which utterances share batch ``s``, as a function of the seed and ``s`` alone.

Utterances are bucketed by length; a batch holds utterances of one bucket, all cropped to its
length. Each bucket is an endless stream: pass after pass over its rows, each in its own random
order, cut into batches without a gap; so every row appears exactly once a pass and no batch is
short. Cycle ``c`` of the run holds ``floor((c+1) r) - floor(c r)`` batches of a bucket with ``r``
batches a pass, in random order: buckets are visited in proportion to their audio. Nothing is
kept: batch ``s`` is computed from ``s``, for any number of ranks.

With ``pack_s`` the rows are not utterances but pieces of one length, cut from utterances laid end
to end (``pieces``): one bucket whose rows are piece numbers; the rest is the same.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from espnet2.data.buckets import Bucket, Draft, fill_buckets, repeat_counts
from espnet2.data.config import PlanConfig
from espnet2.data.frames import HOP_SAMPLES, SAMPLE_RATE_HZ
from espnet2.data.index import Index
from espnet2.data.permutation import Permutation
from espnet2.data.pieces import Stream, pack
from espnet2.data.tsv import write_dropped
from espnet2.utils.config import to_dict
from espnet2.utils.errors import DataError
from espnet2.utils.files import atomic_path, read_json, sha256_file, write_json


@dataclass(frozen=True, kw_only=True)
class PlannedBatch:
    """One global batch. Rank r of R takes ``rows[r::R]``."""

    rows: np.ndarray  # (n,) rows of the index, or piece numbers of ``Plan.stream``
    visits: np.ndarray  # (n,) how often the row was drawn before, counting repeats; for seeds
    num_samples: int  # crop length of every row
    epoch: int  # passes over this bucket completed before the batch's first row


class Plan:
    """A plan on disk, memory-mapped. ``plan.batch(step)`` for any step, in any order."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        if not (self.folder / "plan.json").is_file():
            raise DataError(f"{self.folder}: holds no plan.json; run stage 7 (plan) first")
        self.summary = read_json(self.folder / "plan.json")
        self.rows = np.load(self.folder / "rows.npy", mmap_mode="r", allow_pickle=False)
        self.is_packed: bool = self.summary["config"].get("pack_s") is not None
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

    @cached_property
    def stream(self) -> Stream:
        """The pieces that a packed plan's rows are numbers of."""
        return Stream.open(self.folder, self.buckets[0].num_samples)

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
        rows, visits = self._drawn(bucket, picked, epochs)
        return PlannedBatch(
            rows=rows,
            visits=visits,
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

    def _drawn(
        self, bucket: Bucket, picked: np.ndarray, epochs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(n,) rows, and how often each was drawn before, of the entries ``picked`` of a bucket.

        Repeats of a row are neighbours in rows.npy; a piece has none.
        """
        if self.is_packed:
            return picked, epochs
        entries = self.rows[bucket.first : bucket.first + bucket.count]
        rows = entries[picked]
        first = np.searchsorted(entries, rows, side="left")
        repeats = np.searchsorted(entries, rows, side="right") - first
        return rows.astype(np.int64), epochs * repeats + (picked - first)

    def _new_permutation(self, size: int, *names: str | int) -> Permutation:
        return Permutation(size, self.seed, "plan", *names)


def build_plan(index_path: Path, out: Path, config: PlanConfig, seed: int) -> dict[str, float]:
    """Write OUT/plan.json, OUT/dropped.tsv and the arrays of the mode, for one index.

    Buckets: rows.npy; utterances shorter than the shortest bucket (only with ``bucket_s``) are
    dropped with a row. Packing: rows.npy and starts.npy; what is left after the last whole piece
    is dropped with a row. Returns what the plan costs: hours, steps and bytes of one pass.
    """
    index = Index.open(index_path)
    draft_mode = fill_buckets if config.pack_s is None else pack
    draft = draft_mode(index, repeat_counts(index, config, seed), config, seed)
    for name, array in draft.arrays.items():
        with atomic_path(out / f"{name}.npy") as part, part.open("wb") as file:
            np.save(file, array, allow_pickle=False)
    write_dropped(out / "dropped.tsv", draft.dropped)
    summary = summarise(index, draft)
    plan = {
        **summary,
        "seed": seed,
        "config": to_dict(config),
        "buckets": [to_dict(bucket) for bucket in draft.buckets],
        "index_sha256": sha256_file(index.path),
        **{f"{name}_sha256": sha256_file(out / f"{name}.npy") for name in draft.arrays},
    }
    write_json(out / "plan.json", plan)
    return summary


def summarise(index: Index, draft: Draft) -> dict[str, float]:
    """What one pass costs. Audio beyond the whole frames of a batch row counts as cropped."""
    drawn = float(np.dot(index.num_samples.astype(np.float64), draft.repeats))
    kept = float(sum(b.count * (b.num_samples // HOP_SAMPLES) for b in draft.buckets)) * HOP_SAMPLES
    return {
        "utterances": len(index),
        "dropped": len(draft.dropped),
        "hours": index.hours,
        "hours_per_pass": drawn / SAMPLE_RATE_HZ / 3600,
        "cropped_share": 1 - kept / drawn if drawn else 0.0,
        "steps_per_pass": float(sum(b.count / b.batch for b in draft.buckets)),
        "audio_bytes_per_pass": int(np.dot(index.nbytes, draft.reads)),
        "label_bytes": int(index.frames.sum(dtype=np.int64)) * 2,
    }
