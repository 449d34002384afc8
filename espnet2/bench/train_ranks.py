"""One rank and two on the same batches: speed, and what talking to each other costs.

Ranks are processes of one thread that exchange gradients through gloo, on one machine. The batch of
a step is the same however many share it. Runs take turns within each round.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from espnet2.bench.sizes import describe
from espnet2.bench.table import Table
from espnet2.bench.train_data import FULL, TINY, TrainSet, make_set, our_command
from espnet2.bench.train_sides import Run
from espnet2.train.metrics import read_metrics
from espnet2.utils.logs import log

MOST = 2  # ranks
STEPS, LOG_INTERVAL = 6, 2  # of a run; the first interval is left out
BATCHES = 10
VARIANTS = {  # name: ranks and keys of the recipe
    "one rank": (1, {}),
    "two ranks": (MOST, {}),
    "two ranks, gradients in bfloat16": (MOST, {"ddp_comm_hook": "bf16"}),
}
Speeds = list[dict[str, dict[str, float]]]  # of each round: by variant, rates


def rank_tables(args: argparse.Namespace, scratch: Path) -> list[Table]:
    """One table.

    Raises:
        ConfigError: a run fails.
    """
    log("laying out the speech")
    size = TINY if args.tiny else dataclasses.replace(FULL, batch=MOST, audio_s=5)
    audio = make_set(args, scratch, size, BATCHES)
    rounds: Speeds = []
    for number in range(1, args.rounds + 1):
        log(f"ranks: round {number} of {args.rounds}")
        rounds.append({name: rates(audio, name, *variant) for name, variant in VARIANTS.items()})
    table = Table(
        title=f"Ranks on one CPU{', tiny' if args.tiny else ''}: gloo, one thread a rank",
        columns=("what", "× real time", "beside one rank", "lowest to highest", "communication",
                 "waiting for data", "memory of a rank"),
        rows=tuple(rows(rounds)),
        notes=tuple(notes(audio, args.rounds)),
    )  # fmt: skip
    return [table]


def rates(audio: TrainSet, name: str, ranks: int, changes: dict[str, Any]) -> dict[str, float]:
    """Means of a run's intervals but the first, as its ``metrics.jsonl`` has them."""
    timed = {"max_steps": STEPS, "log_interval_steps": LOG_INTERVAL, "num_workers": 0}
    command, exp = our_command(audio, name.replace(" ", "_"), {**timed, **changes}, ranks)
    shutil.rmtree(exp.parent / "log", ignore_errors=True)
    shutil.rmtree(exp, ignore_errors=True)
    with Run(name, Path(sys.executable), command, exp) as run:
        run.finish()
    found = [row for row in read_metrics(exp / "metrics.jsonl") if row["split"] == "train"][1:]
    keys = ("x_real_time", "communication", "data_wait", "memory_gib")
    return {key: sum(row.get(key, 0.0) for row in found) / len(found) for key in keys}


def rows(rounds: Speeds) -> Iterator[tuple[str, ...]]:
    """A row a variant: medians, and the ratio to one rank within the round."""
    alone = next(iter(VARIANTS))
    for name, (ranks, _) in VARIANTS.items():
        each = [runs[name] for runs in rounds]
        middle = {key: median(run[key] for run in each) for key in each[0]}
        ratios = [runs[name]["x_real_time"] / runs[alone]["x_real_time"] for runs in rounds]
        is_alone = name == alone
        yield (
            name,
            f"{middle['x_real_time']:.1f}",
            "–" if is_alone else f"{median(ratios):.2f} × as fast",
            "–" if is_alone else f"{min(ratios):.2f} to {max(ratios):.2f}",
            "–" if ranks == 1 else f"{middle['communication']:.1%}",
            f"{middle['data_wait']:.1%}",
            f"{middle['memory_gib']:.2f} GiB",
        )


def notes(audio: TrainSet, count: int) -> Iterator[str]:
    """What was measured, and how."""
    size = audio.size
    yield f"{describe(size)}."
    yield (
        f"Batches of {size.batch} × {size.audio_s:g} s shared among the ranks, {audio.origin}; "
        f"loaded in the training process. Runs of {STEPS} steps, the first {LOG_INTERVAL} left "
        f"out; medians of {count} rounds in which the runs take turns."
    )
    yield (
        "Communication: share of the time from the launch of the last reduction to its arrival, "
        "the wait for the slower rank in it. Speeds of two ranks need two cores that are free."
    )
