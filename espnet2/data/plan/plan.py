"""Stage 7: which utterances share batch ``s``, as a function of the seed and ``s`` alone.

Utterances are bucketed by length; a batch holds utterances of one bucket, all cropped to its
length. Each bucket is an endless stream: pass after pass over its rows, each in its own random
order, cut into batches without a gap; so every row appears exactly once a pass and no batch is
short. Cycle ``c`` of the run holds ``floor((c+1) r) - floor(c r)`` batches of a bucket with ``r``
batches a pass, in random order: buckets are visited in proportion to their audio. Nothing is
kept: batch ``s`` is computed from ``s``, for any number of ranks, with a few numbers read from
rows.npy; opening a plan and computing a batch cost the same for any number of rows.

With ``pack_s`` the rows are not utterances but pieces of one length, cut from utterances laid end
to end (``pieces``): one bucket whose rows are piece numbers; the rest is the same.

``locality`` L keeps runs of L consecutive entries of a bucket together in a pass (other runs in
every pass). They lie near each other in one shard, within about L times the number of buckets
utterances, so that a batch of n rows reads n / L places of the disk instead of n: worth it where
finding a place costs more than reading an utterance (spinning disks, network file systems). The
price: neighbours often share a corpus, a recording and a speaker, and with a temperature below 1
the repeats of an utterance are neighbours too; so a batch holds less variety, its gradient is
noisier than its size promises, and interfering speech may be the same voice. Keep 1 where random
reads are fast (an SSD, or shards in the page cache); elsewhere keep n / L at some hundred.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from espnet2.data.config import PlanConfig
from espnet2.data.file_array import FileArray
from espnet2.data.frames import HOP_SAMPLES, SAMPLE_RATE_HZ, num_frames
from espnet2.data.index import Index
from espnet2.data.plan.buckets import Bucket, Draft, fill_buckets
from espnet2.data.plan.packing import pack
from espnet2.data.plan.permutation import LocalPermutation, Permutation
from espnet2.data.plan.pieces import Stream
from espnet2.data.plan.repeats import Repeats
from espnet2.data.tsv import write_dropped
from espnet2.utils.config import to_dict
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json, sha256_file, write_json


@dataclass(frozen=True, kw_only=True)
class PlannedBatch:
    """One global batch. Rank r of R takes ``rows[r::R]``."""

    rows: np.ndarray  # (n,) rows of the index, or piece numbers of ``Plan.stream``
    visits: np.ndarray  # (n,) how often the row was drawn before, counting repeats; for seeds
    bucket: Bucket  # that all rows are of
    epoch: int  # passes over this bucket completed before the batch's first row

    @property
    def num_samples(self) -> int:
        """Crop length of every row."""
        return self.bucket.num_samples


class Plan:
    """A plan on disk, read by position. ``plan.batch(step)`` for any step, in any order."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        if not (self.folder / "plan.json").is_file():
            raise DataError(f"{self.folder}: holds no plan.json; run stage 7 (plan) first")
        self.summary = read_json(self.folder / "plan.json")
        if "most_repeats" not in self.summary:
            raise DataError(f"{self.folder}: made by an older version; run stage 7 (plan) again")
        self.rows = FileArray.open_npy(self.folder / "rows.npy")
        self.is_packed: bool = self.summary["config"].get("pack_s") is not None
        self.buckets = [Bucket(**bucket) for bucket in self.summary["buckets"]]
        self.seed: int = self.summary["seed"]
        self.locality: int = self.summary["config"]["locality"]
        self.most_repeats: int = self.summary["most_repeats"]
        self._counts = np.array([b.count for b in self.buckets], dtype=object)  # exact integers
        self._batches = np.array([b.batch for b in self.buckets], dtype=object)
        self._order = lru_cache(maxsize=256)(self._new_order)

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

    def _remedy(self) -> str:
        """How a set gets more audio, where a setting decides it."""
        if self.folder.parent.name != "valid":
            return ""
        return " (a larger combine.valid_ratio, from stage 3 on)"

    def batch(self, step: int) -> PlannedBatch:
        """The global batch of ``step``; raises DataError for an empty plan."""
        if step < 0:
            raise DataError(f"{self.folder}: there is no step {step}")
        if not self.buckets:
            raise DataError(
                f"{self.folder}: an empty plan: no utterance is long enough for a batch; give the "
                f"set more audio{self._remedy()}, or lower plan.bucket_s or plan.pack_s, and run "
                "stage 7 (plan) again"
            )
        number, k = self._locate(int(step))
        bucket = self.buckets[number]
        stream = k * bucket.batch + np.arange(bucket.batch, dtype=np.int64)
        epochs, positions = np.divmod(stream, bucket.count)
        picked = np.empty_like(stream)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            order = self._order(bucket.count, self.locality, "rows", number, int(epoch))
            picked[here] = order(positions[here])
        rows, visits = self._drawn(bucket, picked, epochs)
        return PlannedBatch(
            rows=rows,
            visits=visits,
            bucket=bucket,
            epoch=int(epochs[0]),
        )

    def row(self, bucket: Bucket, entry: int) -> int:
        """Row of entry ``entry`` of a bucket: of the index, or a piece's number."""
        return entry if self.is_packed else int(self.rows[bucket.first + entry])

    def _locate(self, step: int) -> tuple[int, int]:
        """Bucket of ``step``, and which of the bucket's batches it is."""
        cycle = int(step / self.steps_per_pass)
        while self._before(cycle).sum() > step:
            cycle -= 1
        while self._before(cycle + 1).sum() <= step:
            cycle += 1
        before = self._before(cycle)  # (buckets,) batches in earlier cycles
        ends = np.cumsum(self._before(cycle + 1) - before)
        order = self._order(int(ends[-1]), 1, "cycle", cycle)
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

        Repeats of a row are neighbours in rows.npy: those around an entry tell which one it is.
        A piece has none.
        """
        if self.is_packed:
            return picked, epochs
        if self.most_repeats == 1:
            return self.rows[bucket.first + picked].astype(np.int64), epochs
        rows, visits = np.empty_like(picked), np.empty_like(picked)
        for i, entry in enumerate(picked.tolist()):
            begin = max(entry - self.most_repeats + 1, 0)
            end = min(entry + self.most_repeats, bucket.count)
            around = self.rows[bucket.first + begin : bucket.first + end]
            rows[i] = around[entry - begin]
            (same,) = np.nonzero(around == around[entry - begin])
            visits[i] = epochs[i] * len(same) + entry - begin - same[0]
        return rows, visits

    def _new_order(self, size: int, run: int, *names: str | int) -> Permutation | LocalPermutation:
        if run == 1:
            return Permutation(size, self.seed, "plan", *names)
        return LocalPermutation(size, run, self.seed, "plan", *names)


def build_plan(index_path: Path, out: Path, config: PlanConfig, seed: int) -> dict[str, float]:
    """Write OUT/plan.json, OUT/dropped.tsv and the arrays of the mode, for one index.

    Buckets: rows.npy; utterances shorter than the shortest bucket (of ``bucket_s``, or 0.04 s) are
    dropped with a row. Packing: rows.npy and starts.npy; what is left after the last whole piece
    is dropped with a row. The index is streamed; see ``buckets`` and ``packing`` for the memory
    taken. Returns what the plan costs: hours, steps and bytes of one pass.
    """
    index = Index.open(index_path)
    out.mkdir(parents=True, exist_ok=True)
    (out / "plan.json").unlink(missing_ok=True)  # no moment with new rows and an old plan
    repeats = Repeats(index, config, seed)
    if config.pack_s is None:
        draft = fill_buckets(index, repeats, config, out)
    else:
        draft = pack(index, repeats, config, seed, out)
    write_dropped(out / "dropped.tsv", draft.dropped)
    summary = summarise(index, draft)
    plan = {
        **summary,
        "seed": seed,
        "config": to_dict(config),
        "buckets": [to_dict(bucket) for bucket in draft.buckets],
        "most_repeats": draft.most_repeats,
        "index_sha256": index.fingerprint,
        **{f"{name}_sha256": sha256_file(out / f"{name}.npy") for name in draft.arrays},
    }
    write_json(out / "plan.json", plan)
    return summary


def summarise(index: Index, draft: Draft) -> dict[str, float]:
    """What one pass costs. Audio beyond the whole frames of a batch row counts as cropped."""
    drawn = draft.drawn_samples
    kept = sum(b.count * (b.num_samples // HOP_SAMPLES) for b in draft.buckets) * HOP_SAMPLES
    label_frames = sum(int(num_frames(index.num_samples[r]).sum()) for r in index.chunks())
    return {
        "utterances": len(index),
        "dropped": draft.num_dropped,
        "hours": index.hours,
        "hours_per_pass": drawn / SAMPLE_RATE_HZ / 3600,
        "cropped_share": 1 - kept / drawn if drawn else 0.0,
        "steps_per_pass": float(sum(b.count / b.batch for b in draft.buckets)),
        "audio_bytes_per_pass": draft.audio_bytes,
        "label_bytes": label_frames * 2,
    }
