"""From start to first step, and how long a checkpoint holds the training loop up.

A checkpoint is written in the loop (synchronous) and by the run's own thread (asynchronous), in
turns with steps that write none.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from espnet2.bench.model import Answer
from espnet2.bench.sides import Worker
from espnet2.bench.sizes import describe
from espnet2.bench.table import Table
from espnet2.bench.train_data import FULL, TAG, TINY, TrainSet, make_set, our_command, our_section
from espnet2.bench.train_sides import Run
from espnet2.utils.logs import log

SIDE = Path(__file__).with_name("train_checkpoints.py")
LARGER = dataclasses.replace(FULL, batch=1, audio_s=2, width=512, blocks=8, units=2048)
BATCHES = 4
WAYS = ("none", "inline", "thread")
STEPS = 5  # of a turn
Rounds = list[dict[str, Answer]]  # by way


def resume_tables(args: argparse.Namespace, scratch: Path) -> list[Table]:
    """One table. Raises ConfigError where a run fails."""
    log("laying out the speech")
    audio = make_set(args, scratch, TINY if args.tiny else LARGER, BATCHES)
    fresh, resumed = zip(*(starts(audio, number) for number in range(args.rounds)), strict=True)
    with Worker(Path(sys.executable), True, scratch / "checkpoints.log", SIDE) as side:
        section = {**our_section(audio.size), "keep_checkpoints": 1}
        opened = side.ask(
            "open", dump=str(audio.dump), tag=TAG, section=section, exp=str(scratch / "exp")
        )
        side.ask("steps", way="thread", count=STEPS)  # what a first call pays for is left out
        rounds: Rounds = []
        for number in range(1, args.rounds + 1):
            log(f"checkpoints: round {number} of {args.rounds}")
            rounds.append({way: side.ask("steps", way=way, count=STEPS) for way in WAYS})
        size = side.ask("size")["bytes"]
    table = Table(
        title=f"Starting and saving{', tiny' if args.tiny else ''}: one CPU thread",
        columns=("what", "median", "lowest to highest"),
        rows=(
            row("start to first step, new run", fresh, 1, "s"),
            row("start to first step, from a checkpoint", resumed, 1, "s"),
            ("a checkpoint: weights, Adam's means, settings", f"{size / 2**20:,.0f} MiB", "–"),
            *saving_rows(rounds),
        ),
        notes=tuple(notes(audio, args.rounds, opened["parameters"])),
    )
    return [table]


def starts(audio: TrainSet, number: int) -> tuple[float, float]:
    """Seconds from the command to the end of its first step, of a new run and of a resumed one."""
    log(f"starting: round {number + 1}")
    one = {"log_interval_steps": 1, "num_workers": 0}
    seconds = []
    for stop in (1, 2):
        command, exp = our_command(audio, f"start_{number}", {**one, "max_steps": stop})
        begun = time.perf_counter()
        with Run("the run", Path(sys.executable), command, exp) as run:
            seconds.append(run.next_interval().at - begun)
            run.finish()  # it still writes the checkpoint
    return seconds[0], seconds[1]


def saving_rows(rounds: Rounds) -> Iterator[tuple[str, ...]]:
    """How long a save holds the loop, and how much longer the loop takes in all."""
    held = {way: [each[way]["held_s"] for each in rounds] for way in WAYS}
    longer = {
        way: [each[way]["loop_s"] - each["none"]["loop_s"] for each in rounds] for way in WAYS
    }
    yield row("saved synchronously: the loop stands still for", held["inline"], 1000, "ms")
    yield row("saved by the thread: the loop stands still for", held["thread"], 1000, "ms")
    shares = [own / other for own, other in zip(held["thread"], held["inline"], strict=True)]
    yield row("thread beside synchronous", shares, 100, "%")
    yield row(f"saved synchronously: {STEPS} steps take longer by", longer["inline"], 1000, "ms")
    yield row(f"saved by the thread: {STEPS} steps take longer by", longer["thread"], 1000, "ms")


def row(what: str, values: list[float] | tuple[float, ...], scale: float, unit: str) -> tuple:
    """Median, lowest and highest."""
    low, middle, high = (figure(scale * f(values)) for f in (min, median, max))
    return what, f"{middle} {unit}", f"{low} to {high}"


def figure(value: float) -> str:
    """Three digits, and all of a larger number's."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def notes(audio: TrainSet, count: int, parameters: int) -> Iterator[str]:
    """What was measured, and how."""
    size = audio.size
    yield f"{describe(size)}; {parameters:,} parameters."
    yield (
        f"Steps of {size.batch} × {size.audio_s:g} s; {count} rounds. A start is the whole "
        f"command: imports, data, model, one step, its report. Saving: {STEPS} steps with one "
        "checkpoint or none, in turns; the thread has a core of its own where one is free, and "
        "the disk is the one of --scratch."
    )
