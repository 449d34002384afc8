"""Peak memory of the stages kmeans and label against the size of the corpus.

Each stage of each size runs in a fresh process, all shards in one, so that whatever it keeps of a
shard would add up. The shards of a smaller corpus are the first of the largest.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet2.bench.sides import Worker
from espnet2.bench.table import Table
from espnet2.bench.tokens_data import TokenSet, make_set, part_of
from espnet2.bench.tokens_sides import PEER, open_peer
from espnet2.bench.tokens_speed import worker
from espnet2.bench.tokens_teachers import mfcc
from espnet2.utils.logs import log

HOURS, TINY_HOURS = (0.25, 1.0, 4.0), (0.005, 0.01, 0.02)  # the smallest is also a shard
FRAMES_SHARE = 0.8  # of the smallest corpus: what k-means keeps of any
FRAMES_AN_HOUR = 180_000


def memory_tables(args: argparse.Namespace, scratch: Path) -> list[Table]:
    """Both stages at three sizes. Raises ConfigError where espnet is missing."""
    hours = TINY_HOURS if args.tiny else HOURS
    frames = round(FRAMES_SHARE * hours[0] * FRAMES_AN_HOUR)
    log("laying out the speech of the largest corpus")
    whole = make_set(scratch / "speech", args.dump, 3600 * hours[-1], 3600 * hours[0])
    corpora = [*(part_of(whole, 3600 * size) for size in hours[:-1]), whole]
    rows, python = [], args.peer_python.absolute()
    version = dump_there(whole, scratch / "espnet", python)
    for number, corpus in enumerate(corpora):
        ours, seconds = our_peaks(corpus, frames, scratch / f"out{number}")
        theirs = loaded_there(whole, corpus, scratch / "espnet", python)
        rows.append(
            (f"{corpus.seconds / 3600:.2f} h", str(corpus.shards), f"{corpus.utterances:,}",
             *(f"{peak / 2**20:,.1f} MiB" for peak in ours), f"{seconds:.1f} s",
             f"{theirs / 2**20:,.1f} MiB")
        )  # fmt: skip
    table = Table(
        title=f"Memory against the size of the corpus{', tiny' if args.tiny else ''}",
        columns=("audio", "shards", "utterances", "stage kmeans", "stage label", "both: time",
                 f"espnet {version}: features loaded"),
        rows=tuple(rows),
        notes=(
            "Highest resident size of a fresh process for each stage and size, with all that it "
            f"imports. Teacher: MFCC; codebook of {mfcc().clusters} clusters on {frames:,} frames "
            "(max_frames) of any corpus; one process labels all shards.",
            f"espnet {version}: only the start of its k-means, which holds the features of the "
            "corpus (MFCC every 10 ms) in memory twice.",
            f"{whole.origin}, joined to utterances of 2 to 20 s.",
        ),
    )  # fmt: skip
    return [table]


def our_peaks(corpus: TokenSet, frames: int, out: Path) -> tuple[list[int], float]:
    """Bytes at the peak of the stages kmeans and label, and their seconds together."""
    out.mkdir()
    call = {"index": str(corpus.index), "codebook": str(out / "codebook"),
            "config": mfcc().section(max_frames=frames)}  # fmt: skip
    answers = []
    for stage, more in (("fit", {}), ("label", {"out": str(out / "labels")})):
        log(f"memory: {stage}, {corpus.seconds / 3600:.2f} h")
        with worker(out / f"{stage}.log") as side:
            side.ask("open", **call, entries=[stage])
            answers.append(side.ask(stage, **more))
    return [a["peak"] for a in answers], sum(a["seconds"][0] for a in answers)


def dump_there(whole: TokenSet, out: Path, python: Path) -> str:
    """Have the reference write the features of the largest corpus; its version."""
    out.mkdir()
    log("memory: features of espnet")
    with Worker(python, False, out / "dump.log", PEER) as side:
        version = open_peer(side, mfcc(), whole, out)["version"]
        side.ask("prepare_dump")
        side.ask("dump")
    return version


def loaded_there(whole: TokenSet, corpus: TokenSet, out: Path, python: Path) -> int:
    """Bytes at the peak of a process that loads as much of the features as ``corpus`` has."""
    with Worker(python, False, out / "load.log", PEER) as side:
        open_peer(side, mfcc(), whole, out)
        return side.ask("load", step=round(whole.seconds / corpus.seconds))["peak"]
