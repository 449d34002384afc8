"""Our encoder beside the reference's: speed and memory of one thread, as ratios.

Two processes, one a package, take turns within each round, so that what slows the machine slows
both; a ratio is taken within its round. Memory is measured first, in the fresh processes.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from espnet2.bench.sides import OUR_PACKAGE, Worker
from espnet2.bench.sizes import FULL, TINY, Size, describe, model_config
from espnet2.bench.table import Table
from espnet2.utils.cli import positive
from espnet2.utils.errors import ConfigError
from espnet2.utils.logs import log
from espnet2.utils.provenance import REPOSITORY

PEER_PYTHON = REPOSITORY / "tools" / "espnet_venv" / "bin" / "python3"
MASK_TIMES = 20  # draws of one round; their median counts
Answer = dict[str, Any]
Rounds = list[list[Answer]]  # [ours, the peer's] of each round


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``bench model``."""
    parser.add_argument(
        "--rounds", type=positive, default=5, metavar="N",
        help="times each side is measured (default: 5)",
    )  # fmt: skip
    parser.add_argument(
        "--tiny", action="store_true", help="a tiny model: shows that it runs, measures nothing"
    )
    parser.add_argument(
        "--peer_python", type=Path, default=PEER_PYTHON, metavar="FILE",
        help="interpreter that finds the other espnet2 (default: tools/espnet_venv/bin/python3)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> list[Table]:
    """Measure both sides; one table."""
    size = TINY if args.tiny else FULL
    peer_python = args.peer_python.absolute()  # not resolved: a venv's is a link to another Python
    call = {"batch": size.batch, "audio_s": size.audio_s}
    draw = {"batch": size.masks, "frames": size.mask_frames, "times": MASK_TIMES}
    with sides(peer_python, size) as (pair, builds):
        log("peak memory of encoding")
        encode_memory = ask(pair, "peak_memory", of="encoding", **call)
        encode = in_turn(pair, args.rounds, "encode", **call)
        mask = in_turn(pair, args.rounds, "mask", **draw)
        log("an utterance alone and in a batch")
        errors = ask(pair, "batch_error", audio_s=size.audio_s / 2)
    with sides(peer_python, size) as (pair, _):
        log("peak memory of a training step")
        step_memory = ask(pair, "peak_memory", of="training", **call)
        step = in_turn(pair, args.rounds, "train_step", **call)
    audio = f"{size.batch} × {size.audio_s:g} s"
    peer = peer_name(builds[1])
    table = Table(
        title=f"The encoder beside {peer}{', tiny' if args.tiny else ''}, one CPU thread",
        columns=("what", "this package", peer, "ratio", "lowest to highest"),
        rows=(
            speed_row(f"encode {audio}", encode),
            memory_row(f"encode {audio}: peak extra memory", encode_memory),
            speed_row(f"training step, {audio}", step),
            memory_row(f"training step, {audio}: peak extra memory", step_memory),
            speed_row(f"draw {size.masks} masks of {size.mask_frames:,} frames", mask),
        ),
        notes=(
            *notes(size, args.rounds, builds, errors),
            f"The sides waited for the processor in {waited(encode + step):.0%} of their time; "
            "above a few per cent the machine was busy, and the figures are worth less.",
        ),
    )
    return [table]


@contextlib.contextmanager
def sides(peer_python: Path, size: Size) -> Iterator[tuple[tuple[Worker, Worker], list[Answer]]]:
    """Fresh workers (ours, the peer's) with their models built, and what they said of them.

    Raises ConfigError where the peer is missing, is this package, or builds another model.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        peer = stack.enter_context(Worker(peer_python, False, folder / "peer.log"))
        ours = stack.enter_context(Worker(Path(sys.executable), True, folder / "ours.log"))
        log("building both models")
        builds = ask((ours, peer), "build", config=model_config(size))
        refuse_unlike(builds, peer_python)
        yield (ours, peer), builds


def refuse_unlike(builds: Sequence[Answer], peer_python: Path) -> None:
    """Refuse sides that cannot be compared."""
    if peer_python == PEER_PYTHON and is_ours(builds[1]):
        raise ConfigError(
            f"{peer_python} finds this package instead of PyPI's espnet; delete "
            f"{peer_python.parents[1]} and run tools/install.sh --with_espnet"
        )
    ours, peer = (build["parameters"] for build in builds)
    if ours != peer:
        raise ConfigError(
            f"the packages build different models of one configuration: {ours:,} and {peer:,} "
            f"parameters (espnet2 in {builds[0]['package']} and {builds[1]['package']})"
        )


def is_ours(build: Answer) -> bool:
    """Whether a worker found this package."""
    return Path(build["package"]).resolve() == OUR_PACKAGE.resolve()


def peer_name(build: Answer) -> str:
    """What the other side is."""
    return "this package again" if is_ours(build) else f"espnet {build['espnet']}"


def ask(pair: tuple[Worker, Worker], do: str, **arguments: Any) -> list[Answer]:
    """The answers of both sides to one request, the second asked when the first is done."""
    return [side.ask(do, **arguments) for side in pair]


def in_turn(pair: tuple[Worker, Worker], count: int, do: str, **arguments: Any) -> Rounds:
    """The timings of both sides in each of ``count`` rounds."""
    rounds = []
    for number in range(1, count + 1):
        log(f"{do}: round {number} of {count}")
        rounds.append(ask(pair, do, **arguments))
    return rounds


def speed_row(what: str, rounds: Rounds) -> tuple[str, ...]:
    """A row of times: medians of both sides, and the peer's time over ours."""
    pairs = [[median(answer["seconds"]) for answer in answers] for answers in rounds]
    ours, peer = (duration(median(times)) for times in zip(*pairs, strict=True))
    ratios = [their_s / our_s for our_s, their_s in pairs]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return what, ours, peer, f"{median(ratios):.2f} × as fast", spread


def waited(rounds: Rounds) -> float:
    """Share of the time in which a side did not have the processor, 0 on a quiet machine."""
    answers = [answer for answers in rounds for answer in answers]
    wall_s = sum(sum(answer["seconds"]) for answer in answers)
    return max(0.0, 1 - sum(answer["cpu_s"] for answer in answers) / wall_s)


def memory_row(what: str, answers: Sequence[Answer]) -> tuple[str, ...]:
    """A row of memory, and ours as a share of the peer's."""
    ours, peer = (answer["bytes"] for answer in answers)
    share = f"{ours / peer:.2f} of it" if peer else "–"
    return what, f"{ours / 2**20:,.0f} MiB", f"{peer / 2**20:,.0f} MiB", share, "–"


def duration(seconds: float) -> str:
    """A time for a table."""
    return f"{seconds * 1000:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"


def notes(
    size: Size, rounds: int, builds: Sequence[Answer], errors: Sequence[Answer]
) -> Iterator[str]:
    """What was measured, and how."""
    ours, peer = builds
    name = peer_name(peer)
    yield f"{describe(size)}; {ours['parameters']:,} parameters on both sides."
    yield (
        f"{name}, with its default settings, ran on Python {peer['python']} and torch "
        f"{peer['torch']}; this package on Python {ours['python']} and torch {ours['torch']}."
    )
    yield (
        f"Times are medians of {rounds} rounds in which the sides take turns, and a ratio is the "
        "median of the rounds' ratios. Encoding: eval and inference mode. Training step: forward, "
        "backward and fused Adam, with dropout and masks. Masks: drawn, not filled in."
    )
    yield (
        "Peak extra memory: the highest resident size during a fresh process's first large call, "
        "less that just before, when model and Adam's state are there. Activations and gradients "
        "count."
    )
    ours_moves, peer_moves = (f"{answer['relative']:.1g}" for answer in errors)
    yield (
        f"An utterance of {size.audio_s / 2:g} s joined by a louder one of {size.audio_s:g} s: its "
        f"last states move by {ours_moves} of their norm here, by {peer_moves} in {name}."
    )
