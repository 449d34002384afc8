"""What labelling costs beside the teacher's bare forward, and the nearest centroid beside sklearn.

Labelling is the stage's own work on shards: read FLAC, forward, nearest centroid, count, write.
The bare forward has the same audio in memory and goes its fastest way. Rounds take turns; a ratio
is taken within its round.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from espnet2.bench.model import Answer, waited
from espnet2.bench.sides import Worker
from espnet2.bench.table import Table
from espnet2.bench.tokens_data import TokenSet, make_set
from espnet2.bench.tokens_teachers import BenchTeacher, e_branchformer, hubert, mfcc, size_of
from espnet2.utils.errors import XeusError
from espnet2.utils.logs import log

OURS = Path(__file__).with_name("tokens_ours.py")
NEAREST = Path(__file__).with_name("tokens_nearest.py")
SMALL_SHARE = 0.005  # parts below it are one with the rest
# Seconds of audio and of a shard, by teacher: a network is some fifty times slower than MFCC.
MFCC_S, NETWORK_S, TINY_S = (1800.0, 300.0), (120.0, 60.0), (30.0, 10.0)
ASSIGN, TINY_ASSIGN = (16_000, 1024, 2048), (500, 16, 32)  # frames, width, clusters


def speed_tables(args: argparse.Namespace, scratch: Path) -> list[Table]:
    """Label with every teacher that there is."""
    sets: dict[tuple[float, float], TokenSet] = {}
    rows, waits, origins, network = [], [], {}, size_of(args.tiny)
    for teacher in (
        mfcc(),
        e_branchformer(scratch / "e_branchformer", network),
        hubert(scratch / "hubert", network),
    ):
        size = TINY_S if args.tiny else MFCC_S if teacher.name == "mfcc" else NETWORK_S
        if size not in sets:
            sets[size] = make_set(scratch / f"speech{len(sets)}", args.dump, *size)
        audio = sets[size]
        origins[audio.origin] = True
        log(f"labelling: {teacher.title}")
        row, answers = measured_row(teacher, audio, scratch / f"out_{teacher.name}", args.rounds)
        rows.append(row)
        waits += answers
    table = Table(
        title=f"Labelling{', tiny' if args.tiny else ''}: × real time a core",
        columns=("teacher", "clusters", "audio", "labelling", "bare forward", "way",
                 "labelling / bare forward", "lowest to highest", "where labelling's time goes"),
        rows=tuple(rows),
        notes=tuple(notes(args.rounds, ", ".join(origins), waited(waits))),
    )  # fmt: skip
    return [table]


def worker(log_file: Path, side: Path = OURS) -> Worker:
    """A fresh process of our side."""
    return Worker(Path(sys.executable), True, log_file, side)


def measured_row(
    teacher: BenchTeacher, audio: TokenSet, out: Path, count: int
) -> tuple[tuple[str, ...], list[list[Answer]]]:
    """One teacher's row, and the timings in it."""
    out.mkdir()
    labels = str(out / "labels")
    with worker(out / "ours.log") as side:
        config = teacher.section(kmeans_iterations=1)
        side.ask("open", index=str(audio.index), codebook=str(out / "codebook"), config=config,
                 entries=["fit", "label"])  # fmt: skip
        side.ask("fit")
        side.ask("label", out=labels)  # what a first call pays for is no part of the speed
        ways, rounds = side.ask("hear")["ways"], []
        for number in range(count):
            log(f"labelling: round {number + 1} of {count}")
            rounds.append(
                [side.ask("label", out=labels), *(side.ask("forward", way=way) for way in ways)]
            )
        shares = side.ask("parts", out=labels)
    times = [[answer["seconds"][0] for answer in answers] for answers in rounds]
    middle = [median(values) for values in zip(*times, strict=True)]
    fastest = min(range(len(ways)), key=lambda number: middle[1 + number])
    way, pairs = ways[fastest], [(row[0], row[1 + fastest]) for row in times]
    speeds = [
        median(audio.seconds / seconds for seconds in side) for side in zip(*pairs, strict=True)
    ]
    ratios = [bare_s / label_s for label_s, bare_s in pairs]
    row = (
        teacher.title, f"{teacher.clusters:,}",
        f"{audio.seconds / 60:.0f} min, {audio.shards} shards", *(f"{x:,.0f} ×" for x in speeds),
        way, f"{median(ratios):.1%}", f"{min(ratios):.1%} to {max(ratios):.1%}", where(shares),
    )  # fmt: skip
    return row, rounds


def where(shares: dict[str, float]) -> str:
    """The parts that take time, largest first."""
    large = {part: share for part, share in shares.items() if share >= SMALL_SHARE}
    large.pop("rest", None)
    parts = [f"{part} {share:.1%}" for part, share in
             sorted(large.items(), key=lambda item: -item[1])]  # fmt: skip
    return ", ".join([*parts, f"rest {1 - sum(large.values()):.1%}"])


def notes(count: int, origin: str, waiting: float) -> Iterator[str]:
    """What was done, and how well."""
    yield (
        f"{origin}, joined to utterances of 2 to 20 s in 16 kHz FLAC; networks of random weights "
        f"in float32. Medians of {count} rounds in one process of one thread on one core, in "
        "which labelling and bare forward take turns; the teacher was loaded before, and the "
        "files had been read before, so the disk is not measured."
    )
    yield (
        "Labelling: index, decoding, forward, nearest centroid, counts and files of every shard. "
        "Bare forward: the audio lies decoded in memory; each utterance alone and, of a network, "
        "batches of like lengths with 60 s in all are both measured, and the faster way counts."
    )
    yield (
        "MFCC are made about as fast as FLAC is decoded, so on one core no labelling of FLAC comes "
        "near their bare forward; of a network, decoding is a per cent or two."
    )
    yield (
        "Shares come from one more run under Python's profiler, which counts small calls for more "
        "than they cost."
    )
    yield (
        f"The process waited for the processor in {waiting:.0%} of its time; above a few per cent "
        "the machine was busy, and the figures are worth less."
    )


def nearest_tables(args: argparse.Namespace, scratch: Path) -> list[Table]:
    """The nearest centroid, ours beside scikit-learn's."""
    frames, dim, clusters = TINY_ASSIGN if args.tiny else ASSIGN
    with worker(scratch / "nearest.log", NEAREST) as side:
        log("nearest centroid")
        found = side.ask("open", frames=frames, dim=dim, clusters=clusters)
        rounds = [
            [side.ask("assign", by=by) for by in ("ours", "scikit-learn")]
            for _ in range(args.rounds)
        ]
    pairs = [[answer["seconds"][0] for answer in answers] for answers in rounds]
    ours, peer = (frames / median(times) for times in zip(*pairs, strict=True))
    ratios = [their_s / our_s for our_s, their_s in pairs]
    table = Table(
        title=f"The nearest of {clusters:,} centroids{', tiny' if args.tiny else ''}, one thread",
        columns=("frames of width", "this package", "scikit-learn predict", "ratio",
                 "lowest to highest", "ids that differ"),
        rows=((f"{frames:,} × {dim:,}", f"{ours:,.0f} a second", f"{peer:,.0f} a second",
               f"{median(ratios):.2f} × as fast", f"{min(ratios):.2f} to {max(ratios):.2f}",
               f"{found['differ']:,}"),),
        notes=(
            "Frames and centroids are Gaussian noise, the hardest case: many centroids are about "
            "as far. Where ids differ, ours is never the farther one in float64; every frame was "
            "compared.",
            f"Medians of {args.rounds} rounds in which both take turns in one process; it waited "
            f"for the processor in {waited(rounds):.0%} of its time.",
        ),
    )  # fmt: skip
    if found["least_gain"] < 0:
        raise XeusError(f"a centroid nearer by {-found['least_gain']} was passed over")
    return [table]
