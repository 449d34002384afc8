"""Index and plan of any number of utterances: seconds to open, time of a batch, memory.

For each size a synthetic index is written and planned; then a fresh process opens both and looks up
random batches, and a second one does the same beside it, to see what two share.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from espnet2.bench.data_plot import plot_scale
from espnet2.bench.model import Answer, duration
from espnet2.bench.scale_worker import forget
from espnet2.bench.sides import Worker
from espnet2.bench.table import Table
from espnet2.utils.files import write_text
from espnet2.utils.logs import log
from espnet2.utils.provenance import REPOSITORY

HERE = Path(__file__).parent
WORKER, PEER = HERE / "scale_worker.py", HERE / "loader_espnet.py"
PLOT = REPOSITORY / "egs2" / "bench_data.png"
SMALLEST = 10**4
TINY_ROWS = 10**5
RANKS = 64  # GPUs of the paper's run
PLAN = {"batch_bins": 102_400_000, "batch_multiple": RANKS}  # its 6,400 s a step
LOOKUPS, TINY_LOOKUPS = 500, 50
WRITTEN_AT_ONCE = 2**22  # rows between two lines of progress
PEER_ROWS, TINY_PEER_ROWS = 10**6, 10**4
MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One size: the answers of its processes."""

    rows: int
    """Utterances of the index."""

    disk_bytes: int
    """Index and plan on disk."""

    write: Answer
    """Of the process that wrote the index."""

    plan: Answer
    """Of the process that planned it."""

    open: Answer
    """Of the process that opened both: seconds to the first batch."""

    first_s: list[float]
    """Seconds of random batches, files not cached."""

    again_s: list[float]
    """Seconds of the same batches right after."""

    memory: Answer
    """Memory of that process at its end."""

    both_bytes: int
    """Proportional memory of two such processes at once."""

    @property
    def resident(self) -> int:
        """Bytes resident in one reading process."""
        return self.memory["anonymous"] + self.memory["file"]


def scale_tables(args: argparse.Namespace, scratch: Path) -> list[Table]:
    """Measure every power of ten up to ``args.max_rows``: what making costs, what reading costs."""
    most = min(args.max_rows, TINY_ROWS) if args.tiny else args.max_rows
    counts = [10**n for n in range(4, 12) if SMALLEST <= 10**n < most] + [most]
    measured = [measure(rows, args, scratch / str(rows)) for rows in counts]
    sampler = peer_sampler(args, scratch)
    figure = plot_file(args)
    tiny, lookups = ", tiny" if args.tiny else "", TINY_LOOKUPS if args.tiny else LOOKUPS
    making = Table(
        title=f"Index and plan: making them{tiny}",
        columns=("utterances", "hours", "index: time", "peak memory", "plan: time", "peak memory",
                 "steps a pass", "cropped", "disk, an utterance"),
        rows=tuple(map(making_row, measured)),
        notes=(
            "Synthetic utterances of 0.5 to 40 s (log-normal), 1,200 a shard, written a chunk at "
            f"a time; plan: {PLAN['batch_bins'] // 16000:,} s a step for {RANKS} ranks, otherwise "
            "the defaults. One process each.",
            "Cropped: share of the audio that a pass does not play, because a batch has one "
            "length; audio beyond the last whole frame counts.",
        ),
    )  # fmt: skip
    reading = Table(
        title=f"Index and plan: reading them{tiny}",
        columns=("utterances", "open and first batch", "batch from disk: median", "slowest",
                 "cached: median", "slowest", "peak resident", "anonymous", "file pages",
                 "grown, an utterance", "two processes together"),
        rows=tuple(reading_row(one, measured[0]) for one in measured),
        notes=tuple(reading_notes(lookups, sampler, figure)),
    )  # fmt: skip
    if figure is not None:
        plot_scale(figure, measured)
        log(f"plot: {figure}")
    return [making, reading]


def measure(rows: int, args: argparse.Namespace, folder: Path) -> Measured:
    """Write, plan and read one size; its files are deleted."""
    folder.mkdir()
    write = write_index(rows, folder)
    log(f"{rows:,} rows: plan")
    with fresh(folder, "plan") as worker:
        plan = worker.ask("plan", folder=str(folder), config=PLAN)
    forget(folder)
    log(f"{rows:,} rows: read")
    count = TINY_LOOKUPS if args.tiny else LOOKUPS
    with fresh(folder, "first") as first, fresh(folder, "second") as second:
        opened = first.ask("open", folder=str(folder), ranks=RANKS)
        batches = [first.ask("batches", count=count, seed=1)["seconds"] for _ in range(2)]
        memory = first.ask("memory")
        second.ask("open", folder=str(folder), ranks=RANKS)
        second.ask("batches", count=count, seed=2)
        both = sum(worker.ask("memory")["proportional"] for worker in (first, second))
    disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder)
    return Measured(
        rows=rows, disk_bytes=disk, write=write, plan=plan, open=opened, first_s=batches[0],
        again_s=batches[1], memory=memory, both_bytes=both,
    )  # fmt: skip


def write_index(rows: int, folder: Path) -> Answer:
    """Have the index written, telling how far it is."""
    with fresh(folder, "write") as worker:
        worker.ask("begin", folder=str(folder), rows=rows)
        done = 0
        while done < rows:
            done = worker.ask("write", rows=WRITTEN_AT_ONCE)["rows"]
            log(f"{rows:,} rows: {done / rows:.0%} written")
        return worker.ask("end")


def fresh(folder: Path, name: str) -> Worker:
    """A new process of ours."""
    return Worker(Path(sys.executable), True, folder.parent / f"{folder.name}_{name}.log", WORKER)


def peer_sampler(args: argparse.Namespace, scratch: Path) -> tuple[int, Answer, str]:
    """ESPnet's sampler and list of audio: how many utterances, what it cost, and its version."""
    rows = TINY_PEER_ROWS if args.tiny else min(PEER_ROWS, args.max_rows)
    log(f"espnet's sampler: {rows:,} rows")
    shape, scp = scratch / "shape", scratch / "wav.scp"
    ids = [f"yodas-video{n:012d}" for n in range(rows)]
    write_text(shape, "".join(f"{utt_id} {160_000 + n}\n" for n, utt_id in enumerate(ids)))
    write_text(scp, "".join(f"{utt_id} dump/yodas/{n // 1200:06d}.ark:{n % 1200 * 240_000}\n"
                            for n, utt_id in enumerate(ids)))  # fmt: skip
    with Worker(args.peer_python.absolute(), False, scratch / "espnet.log", PEER) as worker:
        cost = worker.ask("sampler", shape_file=str(shape), scp_file=str(scp),
                          batch_bins=PLAN["batch_bins"])  # fmt: skip
    shape.unlink()
    scp.unlink()
    return rows, cost, cost["version"]


def making_row(one: Measured) -> tuple[str, ...]:
    """What index and plan of one size cost to make."""
    return (
        f"{one.rows:,}", f"{one.plan['hours']:,.0f}",
        duration(one.write["seconds"]), mib(one.write["peak"]),
        duration(one.plan["seconds"]), mib(one.plan["peak"]),
        f"{one.plan['steps']:,.0f}", f"{one.plan['cropped']:.2%}",
        f"{one.disk_bytes / one.rows:.0f} bytes",
    )  # fmt: skip


def reading_row(one: Measured, smallest: Measured) -> tuple[str, ...]:
    """What they cost to read."""
    grown = max(0, one.resident - smallest.resident) / one.rows  # of noise, where it shrank
    return (
        f"{one.rows:,}", duration(one.open["seconds"]),
        *(duration(of(seconds)) for seconds in (one.first_s, one.again_s) for of in (median, max)),
        *(mib(one.memory[kind]) for kind in ("peak", "anonymous", "file")),
        "–" if one is smallest else f"{grown:.2f} bytes", mib(one.both_bytes),
    )  # fmt: skip


def reading_notes(
    lookups: int, sampler: tuple[int, Answer, str], figure: Path | None
) -> Iterator[str]:
    """What was measured, and the reference beside it."""
    rows, cost, version = sampler
    yield (
        f"A batch: which utterances the step holds on all {RANKS} ranks, and for those of one rank "
        f"shard, place, bytes, samples, first label and id: {lookups} random steps of two passes "
        "in a process that only reads, and the same steps again."
    )
    yield (
        "From disk: the files were dropped from the page cache before (posix_fadvise), as far as "
        "the kernel follows the advice; whether a page came from disk cannot be told without root."
    )
    yield (
        "Grown: resident memory beyond that of the smallest index, divided by the utterances. Two "
        "processes together: sum of their proportional sizes."
    )
    yield (
        f"espnet {version}, NumElementsBatchSampler and kaldiio's table of wav.scp over {rows:,} "
        f"utterances: {duration(cost['seconds'])} and {cost['bytes'] / rows:,.0f} bytes an "
        "utterance in each process."
    )
    if figure is not None:
        yield f"Plot: [{figure.name}]({figure.name})"


def mib(count: float) -> str:
    """Bytes for a table."""
    return f"{count / MIB:,.0f} MiB"


def plot_file(args: argparse.Namespace) -> Path | None:
    """Where the plot goes: as asked, or beside the saved tables; None where none are saved."""
    if args.plot is not None:
        return args.plot
    if args.no_save:
        return None
    if args.save is not None:
        return args.save.parent / PLOT.name
    return PLOT if PLOT.parent.is_dir() and not args.tiny else None
