"""Buckets of utterances with one crop length: which there are, and the rows of each, streamed.

Two walks over the index. The first counts the lengths; crop lengths, buckets and their places in
rows.npy follow from the counts. The second writes each chunk's rows to the places of their buckets.
Memory, whatever the size of the set: a chunk of rows (``Index.chunks``, 2**18) at ``max_repeats``
entries each, and the counts of lengths. Measured: 23 MB without repeats, 66 MB with up to 8.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet2.data.config import PlanConfig
from espnet2.data.frames import HOP_SAMPLES
from espnet2.data.index import Index
from espnet2.data.npy_writer import npy_writer
from espnet2.data.plan.crop_lengths import crop_lengths, longest_hops
from espnet2.data.plan.repeats import Repeats
from espnet2.data.tsv import Dropped


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Rows of one length: utterances cropped to it, or pieces cut to it."""

    num_samples: int  # crop length
    first: int  # first entry of rows.npy; 0 for pieces
    count: int  # utterances, repeats included, or pieces
    batch: int  # rows in a batch


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a mode of planning (buckets or packing) decided and wrote."""

    arrays: tuple[str, ...]  # the <name>.npy it wrote
    buckets: list[Bucket]
    drawn_samples: int  # of one pass, repeats included, before anything is cut off
    audio_bytes: int  # read in one pass
    most_repeats: int  # of one utterance in a pass
    num_dropped: int
    dropped: Iterable[Dropped]  # streamed


def fill_buckets(index: Index, repeats: Repeats, config: PlanConfig, out: Path) -> Draft:
    """Choose buckets for the utterances of a set and write OUT/rows.npy.

    rows.npy holds, bucket by bucket, ascending uint32 rows of the index; the repeats of a row are
    neighbours.
    """
    lengths = count_lengths(index, repeats, longest_hops(config))
    edges = crop_lengths(lengths, config)
    buckets, bucket_of = choose_buckets(lengths, edges, config)
    with npy_writer(out / "rows.npy", np.uint32, sum(b.count for b in buckets)) as put:
        totals = write_rows(index, repeats, buckets, bucket_of, put)
    return Draft(
        arrays=("rows",),
        buckets=buckets,
        dropped=too_short(index, int(edges[0])) if totals["num_dropped"] else [],
        **totals,
    )


def count_lengths(index: Index, repeats: Repeats, longest: int) -> np.ndarray:
    """(longest + 1,) int64 utterances of each length in whole hops, repeats included; longer ones
    count as the longest."""
    counts = np.zeros(longest + 1, np.int64)
    for rows, times in repeats:
        hops = hops_of(index, rows, longest)
        counts += np.bincount(hops, times, longest + 1).astype(np.int64)
    return counts


def hops_of(index: Index, rows: slice, longest: int) -> np.ndarray:
    """(rows,) lengths in whole hops, at most ``longest``."""
    return np.minimum(index.num_samples[rows] // HOP_SAMPLES, longest)


def choose_buckets(
    lengths: np.ndarray, edges: np.ndarray, config: PlanConfig
) -> tuple[list[Bucket], np.ndarray]:
    """Buckets that hold something, and (hops,) the one for each length; -1 where too short.

    lengths: (hops,) utterances of each length. edges: (lengths,) ascending crop lengths in hops.
    A bucket with fewer than ``batch_multiple`` utterances joins the next shorter one.
    """
    bucket_of = np.searchsorted(edges, np.arange(len(lengths)), side="right") - 1
    is_used = bucket_of >= 0
    counts = np.bincount(bucket_of[is_used], lengths[is_used], len(edges)).astype(np.int64)
    joins = np.arange(len(edges))  # (lengths,)
    for number in range(len(edges) - 1, 0, -1):
        if counts[number] < config.batch_multiple:
            joins[joins == number] = number - 1
            counts[number - 1] += counts[number]
            counts[number] = 0
    buckets, first = [], 0
    place = np.full(len(edges) + 1, -1)  # of each crop length in the list; the last for -1
    for number in np.flatnonzero(counts):
        count, num_samples = int(counts[number]), int(edges[number]) * HOP_SAMPLES
        batch = batch_size(num_samples, count, config)
        place[number] = len(buckets)
        buckets.append(Bucket(num_samples=num_samples, first=first, count=count, batch=batch))
        first += count
    return buckets, place[np.append(joins, -1)[bucket_of]]


def batch_size(num_samples: int, count: int, config: PlanConfig) -> int:
    """Rows in a batch: as many as fit the budget and the bucket, a multiple of
    ``batch_multiple``."""
    multiple = config.batch_multiple
    fits = config.batch_bins // num_samples // multiple * multiple
    return max(min(fits, count // multiple * multiple), multiple)


def write_rows(
    index: Index, repeats: Repeats, buckets: list[Bucket], bucket_of: np.ndarray, put
) -> dict[str, int]:
    """Put every row into its bucket's part of rows.npy; returns the sums of a Draft.

    bucket_of: bucket of each length in hops, -1 for what is shorter than all. put: of npy_writer.
    """
    totals = {"drawn_samples": 0, "audio_bytes": 0, "most_repeats": 1, "num_dropped": 0}
    filled = [bucket.first for bucket in buckets]
    for rows, times in repeats:
        bucket = bucket_of[hops_of(index, rows, len(bucket_of) - 1)]  # (rows,)
        times = np.where(bucket < 0, 0, times)
        order = np.argsort(bucket, kind="stable")
        entries = np.repeat(rows.start + order, times[order])
        counts = np.bincount(bucket[bucket >= 0], times[bucket >= 0], len(buckets)).astype(int)
        ends = np.cumsum(counts)
        for number in np.flatnonzero(counts):
            put(filled[number], entries[ends[number] - counts[number] : ends[number]])
            filled[number] += int(counts[number])
        totals["drawn_samples"] += int(index.num_samples[rows].astype(np.int64) @ times)
        totals["audio_bytes"] += int(index.nbytes[rows].astype(np.int64) @ times)
        totals["most_repeats"] = max(totals["most_repeats"], int(times.max(initial=1)))
        totals["num_dropped"] += int((bucket < 0).sum())
    return totals


def too_short(index: Index, shortest: int) -> Iterator[Dropped]:
    """Rows of dropped.tsv for utterances under the shortest crop length, in hops."""
    for rows in index.chunks():
        lengths = index.num_samples[rows]
        (short,) = np.nonzero(lengths // HOP_SAMPLES < shortest)
        names = index.utt_ids[rows.start + short]
        for utt_id, num_samples in zip(names, lengths[short], strict=True):
            yield Dropped(
                utt_id=utt_id,
                reason="shorter than the shortest bucket",
                detail=f"{num_samples} of {shortest * HOP_SAMPLES} samples",
            )
