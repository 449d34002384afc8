"""Our training loop beside the trainer of ESPnet: steps a second, memory, waiting for data.

Same model, data, batch and optimiser; each side runs by its own command, as its recipe runs it. The
sides take turns within each round, and a ratio is taken within its round.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from espnet2.bench.sizes import describe
from espnet2.bench.table import Table
from espnet2.bench.train_data import (
    FULL,
    GRAD_CLIP,
    TINY,
    TrainSet,
    augmented_phase,
    make_set,
    our_command,
    our_section,
    peer_command,
)
from espnet2.bench.train_sides import Memory, Run, Turn, starved_note
from espnet2.data.augment import MixConfig
from espnet2.ssl.config import SSLModelConfig, model_keys
from espnet2.ssl.factory import build_model
from espnet2.utils.errors import ConfigError
from espnet2.utils.hardware import has_amx_bf16
from espnet2.utils.logs import log

LOG_INTERVAL = 1  # steps, on every side
TIMED = 2  # steps of a turn
WARM_UP = 1  # steps before the first turn
BATCHES = 20  # different ones; then the audio comes again
MEBI = 2**20
ROUNDING = 0.01  # of the number of parameters that the peer prints
OURS, PEER, BF16 = "ours", "peer", "bfloat16"
Rounds = list[dict[str, Turn]]  # by side
Peaks = dict[str, Memory]  # by side


def espnet_tables(args: argparse.Namespace, scratch: Path) -> list[Table]:
    """A table without augmentation and one with it.

    Raises:
        ConfigError: the reference is missing, its trainer fails, or it builds another model.
    """
    log("laying out the speech")
    audio = make_set(args, scratch, TINY if args.tiny else FULL, BATCHES)
    return [compare(args, audio, is_augmented) for is_augmented in (False, True)]


def compare(args: argparse.Namespace, audio: TrainSet, is_augmented: bool) -> Table:
    """One table."""
    python = args.peer_python.absolute()  # not resolved: a venv's is a link to another Python
    what = "augmented" if is_augmented else "clean"
    rounds: Rounds = []
    with sides(audio, python, is_augmented) as runs:
        for number in range(1, args.rounds + 1):
            log(f"training, {what}: round {number} of {args.rounds}")
            rounds.append({name: run.turn(TIMED) for name, run in runs.items()})
        peaks = {name: run.memory() for name, run in runs.items()}
    peer = peer_name(python)
    return Table(
        title=f"Training beside {peer}{', tiny' if args.tiny else ''}: {what}, one CPU thread",
        columns=("what", "this package", peer, "ratio", "lowest to highest"),
        rows=tuple(rows(audio, rounds, peaks)),
        notes=tuple(notes(audio, rounds, peer, is_augmented)),
    )


@contextlib.contextmanager
def sides(audio: TrainSet, python: Path, is_augmented: bool) -> Iterator[dict[str, Run]]:
    """The trainers, each started, warmed up and stopped.

    On clean speech ours in bfloat16, too, where the processor is made for it.

    Raises ConfigError when the peer builds a model of another size.
    """
    what = "augmented" if is_augmented else "clean"
    changes = {"log_interval_steps": LOG_INTERVAL}
    if is_augmented:
        changes["phases"] = [augmented_phase()]
    ours = our_command(audio, f"ours_{what}", changes)
    peer, _ = peer_command(audio, f"peer_{what}", LOG_INTERVAL, is_augmented)
    started = [(OURS, Path(sys.executable), *ours), (PEER, python, peer, None)]
    if has_amx_bf16() and not is_augmented:
        half = our_command(audio, f"bf16_{what}", {**changes, "train_dtype": "bfloat16"})
        started.append((BF16, Path(sys.executable), *half))
    with contextlib.ExitStack() as stack:
        runs = {}
        for name, *words in started:
            log(f"training, {what}: starting {name}")
            runs[name] = stack.enter_context(Run(name, *words))
            runs[name].begin(WARM_UP)
        refuse_unlike(audio, runs[PEER])
        yield runs


def refuse_unlike(audio: TrainSet, peer: Run) -> None:
    """Raise ConfigError where the sides build models of different size."""
    model_part, _ = model_keys(our_section(audio.size))
    model = build_model(SSLModelConfig.from_espnet(model_part))
    ours = sum(parameter.numel() for parameter in model.parameters())
    if peer.parameters is None or abs(ours / peer.parameters - 1) > ROUNDING:
        raise ConfigError(
            f"the packages build different models of one configuration: {ours:,} and about "
            f"{peer.parameters or 0:,.0f} parameters"
        )


def peer_name(python: Path) -> str:
    """The espnet in the virtual environment of ``python``, with its version."""
    folders = [str(path) for path in python.parents[1].glob("lib/python*/site-packages")]
    found = importlib.metadata.distributions(name="espnet", path=folders)
    return f"espnet {next((distribution.version for distribution in found), '')}".strip()


def rows(audio: TrainSet, rounds: Rounds, peaks: Peaks) -> Iterator[tuple[str, ...]]:
    """Speed, memory and waiting of both sides; then ours in bfloat16."""
    step_s = audio.size.batch * audio.size.audio_s
    yield speed_row("steps a second", rounds, OURS, 1.0, "")
    yield speed_row("audio a second", rounds, OURS, step_s, " s")
    yield cpu_row("processor time of a step", rounds, OURS)
    yield memory_row("peak memory, shared pages once", peaks, OURS, "once")
    yield memory_row("peak memory, training process", peaks, OURS, "trainer")
    yield memory_row("peak memory, all processes added up", peaks, OURS, "added_up")
    yield wait_row("waiting for data", rounds, OURS)
    if BF16 in peaks:
        label = "ours in bfloat16 (AMX): "
        yield speed_row(f"{label}steps a second", rounds, BF16, 1.0, "")
        yield memory_row(f"{label}peak memory", peaks, BF16, "once")
        yield wait_row(f"{label}waiting for data", rounds, BF16)


def cpu_row(what: str, rounds: Rounds, name: str) -> tuple[str, ...]:
    """Medians of the training processes' own seconds a step, which waiting is no part of."""
    pairs = [[turns[side].cpu_s / turns[side].steps for side in (name, PEER)] for turns in rounds]
    ours, peer = (f"{median(side):.2f} s" for side in zip(*pairs, strict=True))
    shares = [own / other for own, other in pairs]
    return (
        what,
        ours,
        peer,
        f"{median(shares):.2f} of it",
        f"{min(shares):.2f} to {max(shares):.2f}",
    )


def memory_row(what: str, peaks: Peaks, name: str, key: str) -> tuple[str, ...]:
    """A row of memory, and ours as a share of the peer's."""
    ours, peer = getattr(peaks[name], key), getattr(peaks[PEER], key)
    cells = (f"{size / MEBI:,.0f} MiB" for size in (ours, peer))
    return what, *cells, f"{ours / peer:.2f} of it", "–"


def wait_row(what: str, rounds: Rounds, name: str) -> tuple[str, ...]:
    """Shares of the time in which the loops waited for a batch."""
    waits = [[turns[side].data_wait for turns in rounds] for side in (name, PEER)]
    spread = (
        f"{min(waits[0]):.1%} to {max(waits[0]):.1%}, {min(waits[1]):.1%} to {max(waits[1]):.1%}"
    )
    return what, *(f"{median(side):.1%}" for side in waits), "–", spread


def speed_row(what: str, rounds: Rounds, name: str, scale: float, unit: str) -> tuple[str, ...]:
    """Medians of both sides' speeds times ``scale``, and the median of the rounds' ratios."""
    pairs = [(speed(turns[name]), speed(turns[PEER])) for turns in rounds]
    ours, peer = (f"{scale * median(side):.3g}{unit}" for side in zip(*pairs, strict=True))
    ratios = [own / other for own, other in pairs]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return what, ours, peer, f"{median(ratios):.2f} × as fast", spread


def speed(turn: Turn) -> float:
    """Steps a second."""
    return turn.steps / turn.seconds


def notes(audio: TrainSet, rounds: Rounds, peer: str, is_augmented: bool) -> Iterator[str]:
    """What was measured, and how."""
    size = audio.size
    yield f"{describe(size)} on both sides; Adam, clipped at {GRAD_CLIP:g}, no accumulation."
    yield (
        f"Batches of {size.batch} × {size.audio_s:g} s, all utterances of one length, so that a "
        f"step has as many frames on either side: {audio.utterances} utterances, {audio.origin}, "
        "joined; FLAC in arks, random labels. One loader process a side."
    )
    yield (
        f"{peer}: its SSLTask by ssl_train with kaldi_ark, text of labels, numel batches of "
        f"{audio.batch_bins:,} bins, its collate and reporter; nothing added to its loop. Here: "
        "the pre-training command. No validation, checkpoint or TensorBoard on either side."
    )
    if is_augmented:
        mixing = MixConfig()
        yield (
            f"Noise or another utterance with a chance of {mixing.noise_prob:g}, a room with "
            f"{mixing.rir_prob:g}, from the same clips."
        )
    yield (
        f"Medians of {len(rounds)} rounds in which the sides take turns of {TIMED} steps, after "
        "one that is not timed; every step is logged on either side. A ratio is taken within "
        "its round."
    )
    yield (
        "Peak memory: highest resident size of the training process, then with the pages that "
        "loader and launcher share with nobody, then all resident sizes added up, in which the "
        "libraries of a forked loader count again."
    )
    yield starved_note(rounds)
