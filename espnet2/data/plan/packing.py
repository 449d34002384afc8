"""Packing: the order in which utterances are laid end to end before they are cut into pieces.

Each (corpus, language) is a group in a random order of its own, and the groups follow each other
by name, so that only what is left after the last whole piece of the set is lost.

Two walks over the index: the first counts each group, the second writes its entries to a scratch
file, group by group; then the groups are put in order and written, one after the other. A group of
more than 2**20 entries is put in order by formula (``Permutation``), a cell of 2**20 at a time; a
smaller one by shuffling it. Memory: some 130 MB whatever the size of the set; scratch: 16 bytes an
entry, gone when the plan is made.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np

from espnet2.data.config import PlanConfig
from espnet2.data.file_array import FileArray
from espnet2.data.frames import HOP_SAMPLES, RECEPTIVE_SAMPLES, SAMPLE_RATE_HZ, num_frames
from espnet2.data.index import Index
from espnet2.data.npy_writer import npy_writer
from espnet2.data.plan.buckets import Bucket, Draft, batch_size
from espnet2.data.plan.permutation import Permutation
from espnet2.data.plan.pieces import pieces_of_entries
from espnet2.data.plan.repeats import Repeats, group_codes
from espnet2.data.tsv import Dropped
from espnet2.utils.errors import ConfigError
from espnet2.utils.seeding import rng_for

CELL = 2**20  # entries put in order at once
ENTRY = np.dtype([("row", "<u4"), ("frames", "<u4"), ("nbytes", "<u4"), ("place", "<u4")])


def pack(index: Index, repeats: Repeats, config: PlanConfig, seed: int, out: Path) -> Draft:
    """Plan pieces of ``config.pack_s`` seconds and write OUT/rows.npy and OUT/starts.npy.

    rows.npy: (entries,) uint32 rows in the stream's order; starts.npy: (entries + 1,) uint64, see
    ``pieces.Stream``. Raises ConfigError when ``pack_s`` is no frame long or one piece a rank
    exceeds ``batch_bins``.
    """
    frames = piece_frames(config)
    num_samples = (frames - 1) * HOP_SAMPLES + RECEPTIVE_SAMPLES
    groups, totals = count_groups(index, repeats)
    count = totals.pop("frames") // frames
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryFile(dir=out))
        order = StreamOrder(index, groups, seed, scratch)
        for entries, group in entries_of(index, repeats):
            order.add(entries, group)
        put_rows = stack.enter_context(npy_writer(out / "rows.npy", np.uint32, order.size))
        put_starts = stack.enter_context(npy_writer(out / "starts.npy", np.uint64, order.size + 1))
        audio_bytes, rest = write_stream(order, frames, count, put_rows, put_starts)
    if totals["most_repeats"] > 1:
        rest = unheard(rest, FileArray.open_npy(out / "rows.npy"))
    buckets = []
    if count:
        batch = batch_size(num_samples, count, config)
        buckets = [Bucket(num_samples=num_samples, first=0, count=count, batch=batch)]
    totals["num_dropped"] += len(rest)
    dropped = left_over(index, np.sort(rest)) if totals["num_dropped"] else []
    return Draft(arrays=("rows", "starts"), buckets=buckets, audio_bytes=audio_bytes,
                 dropped=dropped, **totals)  # fmt: skip


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


def count_groups(index: Index, repeats: Repeats) -> tuple[np.ndarray, dict[str, int]]:
    """(languages * corpora,) int64 entries of each group, and sums for a Draft with ``frames``."""
    groups = np.zeros(len(repeats.weights), np.int64)
    totals = {"frames": 0, "drawn_samples": 0, "most_repeats": 1, "num_dropped": 0}
    for rows, times in repeats:
        lengths = index.num_samples[rows].astype(np.int64)
        frames = num_frames(lengths)
        times = np.where(frames > 0, times, 0)
        groups += np.bincount(group_codes(index, rows), times, len(groups)).astype(np.int64)
        totals["frames"] += int(frames @ times)
        totals["drawn_samples"] += int(lengths @ times)
        totals["most_repeats"] = max(totals["most_repeats"], int(times.max(initial=1)))
        totals["num_dropped"] += int((frames == 0).sum())
    return groups, totals


def entries_of(index: Index, repeats: Repeats) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(n,) entries (ENTRY) of each chunk of rows, repeats included, with (n,) groups' numbers."""
    for rows, times in repeats:
        frames = num_frames(index.num_samples[rows])
        times = np.where(frames > 0, times, 0)
        entries = np.zeros(int(times.sum()), ENTRY)
        entries["row"] = np.repeat(np.arange(rows.start, rows.stop), times)
        entries["frames"] = np.repeat(frames, times)
        entries["nbytes"] = np.repeat(index.nbytes[rows], times)
        yield entries, np.repeat(group_codes(index, rows), times)


class StreamOrder:
    """Entries come in the index's order through ``add`` and leave in the stream's (iteration)."""

    def __init__(self, index: Index, groups: np.ndarray, seed: int, scratch: BinaryIO):
        """groups: (languages * corpora,) entries of each group. scratch: an empty file."""
        corpora, languages = index.corpora.names, index.languages.names
        names = sorted(
            (corpora[code % len(corpora)], languages[code // len(corpora)], int(code))
            for code in np.flatnonzero(groups)
        )
        self.groups: dict[int, Group] = {}  # by number, in the stream's order
        self.size = 0
        for *name, code in names:
            self.groups[code] = Group(int(groups[code]), self.size, seed, name)
            self.size += int(groups[code])
        self._scratch = scratch

    def add(self, entries: np.ndarray, group: np.ndarray) -> None:
        """Take the next entries (n,) with their groups' numbers (n,)."""
        order = np.argsort(group, kind="stable")
        codes, begins = np.unique(group[order], return_index=True)
        ends = np.append(begins, len(order))[1:]
        for code, begin, end in zip(codes, begins, ends, strict=True):
            for at, some in self.groups[int(code)].placed(entries[order[begin:end]]):
                self._scratch.seek(at * ENTRY.itemsize)
                self._scratch.write(some.view(np.uint8))

    def __iter__(self) -> Iterator[np.ndarray]:
        """Entries in the stream's order, at most CELL at a time."""
        for group in self.groups.values():
            for begin in range(0, group.count, CELL):
                size = min(CELL, group.count - begin)
                self._scratch.seek((group.first + begin) * ENTRY.itemsize)
                data = self._scratch.read(size * ENTRY.itemsize)
                yield group.ordered(np.frombuffer(data, ENTRY))


class Group:
    """One (corpus, language): ``count`` entries in the scratch file from ``first`` on."""

    def __init__(self, count: int, first: int, seed: int, name: list[str]):
        self.count, self.first = count, first
        self._seed, self._name = seed, name
        self._seen = 0
        self._filled = [0] * -(-count // CELL)  # entries in each cell
        is_large = count > CELL
        self._order = Permutation(count, seed, "pack", *name) if is_large else None

    def placed(self, entries: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """The next entries (n,) of the group with their positions in the scratch file."""
        cells = np.zeros(len(entries), np.int64)
        if self._order:
            places = self._order(self._seen + np.arange(len(entries)))
            cells, entries["place"] = np.divmod(places, CELL)
        self._seen += len(entries)
        for cell in np.unique(cells):
            some = entries[cells == cell]
            yield self.first + int(cell) * CELL + self._filled[cell], some
            self._filled[cell] += len(some)

    def ordered(self, entries: np.ndarray) -> np.ndarray:
        """The entries (n,) of one cell in their final order."""
        if not self._order:
            return rng_for(self._seed, "pack", *self._name).permutation(entries)
        final = np.empty_like(entries)
        final[entries["place"]] = entries
        return final


def write_stream(
    order: StreamOrder, frames: int, count: int, put_rows, put_starts
) -> tuple[int, np.ndarray]:
    """Write rows and starts; returns the bytes read in a pass, and the rows of the entries that
    begin after the last of ``count`` pieces of ``frames`` frames."""
    at = start = audio_bytes = 0
    rest = [np.zeros(0, np.uint32)]
    put_starts(0, np.zeros(1))
    for entries in order:
        stops = start + np.cumsum(entries["frames"], dtype=np.int64)
        starts = stops - entries["frames"]
        put_rows(at, entries["row"])
        put_starts(at + 1, stops)
        reads = pieces_of_entries(starts, stops, frames, count)
        audio_bytes += int(reads @ entries["nbytes"].astype(np.int64))
        rest.append(entries["row"][starts >= count * frames])
        at, start = at + len(entries), int(stops[-1])
    return audio_bytes, np.concatenate(rest)


def unheard(rest: np.ndarray, rows: FileArray) -> np.ndarray:
    """The rows of the stream's last ``len(rest)`` entries that appear nowhere before them."""
    before = len(rows) - len(rest)
    for begin in range(0, before, CELL):
        rest = np.setdiff1d(rest, rows[begin : min(begin + CELL, before)])
    return np.unique(rest)


def left_over(index: Index, rest: np.ndarray) -> Iterator[Dropped]:
    """Rows of dropped.tsv: utterances without a frame, and ``rest`` (n,), after the last piece."""
    for rows in index.chunks():
        lengths = index.num_samples[rows]
        for row in np.flatnonzero(num_frames(lengths) == 0):
            yield dropped_row(index, rows.start + int(row), "shorter than a frame")
    for row in rest:
        yield dropped_row(index, int(row), "after the last whole piece")


def dropped_row(index: Index, row: int, reason: str) -> Dropped:
    """One row of dropped.tsv."""
    detail = f"{index.num_samples[row]} samples"
    return Dropped(utt_id=index.utt_ids[row], reason=reason, detail=detail)
