"""Our probe training beside the trainer of ESPnet: micro-batches a second, memory, waiting.

Each side runs by its own command, as its recipe runs it. They take turns within each round, and a
ratio is taken within its round.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from espnet2.asr.ctc_model import CTCModel
from espnet2.bench.superb_commands import (
    ACCUM_GRAD,
    GRAD_CLIP,
    LEARNING_RATE,
    WAYS,
    feature_unit,
    our_command,
    peer_command,
    unit_command,
)
from espnet2.bench.superb_data import FULL, TINY, ProbeSet, make_set
from espnet2.bench.table import Table
from espnet2.bench.train_espnet import (
    PEER,
    ROUNDING,
    Peaks,
    Rounds,
    cpu_row,
    memory_row,
    peer_name,
    speed_row,
    wait_row,
)
from espnet2.bench.train_sides import Run, Turn, starved_note
from espnet2.utils.errors import ConfigError
from espnet2.utils.hardware import has_amx_bf16
from espnet2.utils.logs import log

TIMED = 1  # steps of a turn
WARM_UP = 1  # steps before the first turn
BATCHES = 12  # different micro-batches; then the audio comes again
NOTHING = "–"


def probe_tables(args: argparse.Namespace, scratch: Path) -> list[Table]:
    """The table.

    Raises:
        ConfigError: the reference is missing, its trainer fails, or it builds another probe.
    """
    log("laying out the speech")
    audio = make_set(args, scratch, TINY if args.tiny else FULL, BATCHES)
    python = args.peer_python.absolute()  # not resolved: a venv's is a link to another Python
    rounds: Rounds = []
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(begun(PEER, Run(PEER, python, peer_command(audio), None)))
        refuse_unlike(audio, peer)
        made_s = {name: make_features(audio, name) for name in ways()}
        runs = {}
        for name in ways():
            ours = Run(name, Path(sys.executable), *our_command(audio, name))
            runs[name] = stack.enter_context(begun(name, ours))
        runs[PEER] = peer
        for number in range(1, args.rounds + 1):
            log(f"training probes: round {number} of {args.rounds}")
            turns = {name: run.turn(TIMED) for name, run in runs.items()}
            rounds.append({name: in_micro_batches(name, turn) for name, turn in turns.items()})
        peaks = {name: run.memory() for name, run in runs.items()}
    name, tiny = peer_name(python), ", tiny" if args.tiny else ""
    return [
        Table(
            title=f"ML-SUPERB's probe beside {name}{tiny}: training, one CPU thread",
            columns=("what", "this package", name, "ratio", "lowest to highest"),
            rows=tuple(rows(audio, rounds, peaks, made_s["cached"])),
            notes=tuple(notes(audio, rounds, name)),
        )
    ]


def ways() -> list[str]:
    """Ours that this machine can measure: bfloat16 only where the processor is made for it."""
    return [name for name in WAYS if name != "live_bf16" or has_amx_bf16()]


@contextlib.contextmanager
def begun(name: str, run: Run) -> Iterator[Run]:
    """A side, started and warmed up, and stopped at the end."""
    log(f"training probes: starting {name}")
    with run:
        run.begin(WARM_UP)
        yield run


def make_features(audio: ProbeSet, name: str) -> float:
    """Run stage 11's units of the features; seconds that the training set took, with its start."""
    for split in ("dev", "train"):
        start = time.perf_counter()
        unit = feature_unit(audio, name, split)
        command = unit_command(audio, name, unit)
        with Run(unit.name, Path(sys.executable), command, unit.marker.parent) as run:
            run.finish()
        seconds = time.perf_counter() - start
    return seconds


def in_micro_batches(name: str, turn: Turn) -> Turn:
    """The turn in micro-batches: what ESPnet counts, and how it tells the wait for each of them.

    We count steps of the optimiser. ESPnet's interval has the time of a step beside the wait of a
    micro-batch.
    """
    if name == PEER:
        return dataclasses.replace(turn, data_wait=turn.data_wait * ACCUM_GRAD)
    return dataclasses.replace(turn, steps=turn.steps * ACCUM_GRAD)


def refuse_unlike(audio: ProbeSet, peer: Run) -> None:
    """Raise ConfigError where the sides train models of different size."""
    size = audio.size.encoder
    model = CTCModel(audio.size.probe, size.blocks + 1, size.width, len(audio.tokens))
    ours = sum(parameter.numel() for parameter in model.parameters())
    if peer.trainable is None or abs(ours / peer.trainable - 1) > ROUNDING:
        raise ConfigError(
            f"the packages train different probes of one configuration: {ours:,} and about "
            f"{peer.trainable or 0:,.0f} parameters"
        )


def rows(audio: ProbeSet, rounds: Rounds, peaks: Peaks, made_s: float) -> Iterator[tuple[str, ...]]:
    """Speed, memory and waiting of each of our ways beside ESPnet's only one."""
    audio_s = audio.size.encoder.batch * audio.size.encoder.audio_s
    for name in rounds[0]:
        if name != PEER:
            label = WAYS[name].title
            yield speed_row(f"{label}: micro-batches a second", rounds, name, 1.0, "")
            yield cpu_row(f"{label}: processor time of a micro-batch", rounds, name)
            yield memory_row(f"{label}: peak memory", peaks, name, "once")
            yield wait_row(f"{label}: waiting for data", rounds, name)
    each_s = made_s / audio.utterances * audio.size.encoder.batch
    yield (
        "making the features of a micro-batch, once", f"{each_s:.2f} s ({audio_s / each_s:.3g} × "
        "real time)", NOTHING, NOTHING, NOTHING,
    )  # fmt: skip


def notes(audio: ProbeSet, rounds: Rounds, peer: str) -> Iterator[str]:
    """What was measured, and how."""
    size, probe = audio.size.encoder, audio.size.probe
    yield (
        f"Encoder, frozen: front end with {size.channels} channels, {size.blocks} E-Branchformer "
        f"blocks of width {size.width} with {size.units} units in feed-forward and gating MLP; "
        "random weights, one checkpoint in ESPnet's layout for both sides; without dropout, which "
        f"{peer} would apply to it. float32."
    )
    yield (
        f"Probe on both sides: the benchmark's, with its SpecAugment (weighted layers, linear "
        f"{probe.projection}, conv2d2, {probe.num_blocks} blocks of width {probe.output_size}, CTC "
        f"of {len(audio.tokens)} tokens); float32, Adam at {LEARNING_RATE:g}, clipped at "
        f"{GRAD_CLIP:g}, {ACCUM_GRAD} micro-batches a step."
    )
    yield (
        f"Micro-batches of {size.batch} × {size.audio_s:g} s, all utterances of one length: "
        f"{audio.utterances} utterances, {audio.origin}, joined; FLAC in arks, texts of "
        f"{audio.size.text} random characters."
    )
    yield (
        f"{peer}: its ASRTask by asr_train with frontend espnet_ssl and freeze_param, as in its "
        "ML-SUPERB recipe, kaldi_ark, sorted batches; nothing added to its "
        "loop. Here: the units of stage 11. No validation or checkpoint on either side."
    )
    yield (
        "Features kept: bfloat16 on disk, mapped; the files had been read before, so the disk is "
        "not measured. Encoder in each step: in the training process, as ESPnet's. In bfloat16: "
        "what stage 11 chooses by itself where the processor has AMX; the probe stays in float32. "
        "One loader process everywhere."
    )
    yield (
        f"Medians of {len(rounds)} rounds in which the sides take turns of {TIMED * ACCUM_GRAD} "
        f"micro-batches, after {ACCUM_GRAD} that are not timed; every step is logged on either "
        "side. A ratio is taken within its round."
    )
    yield (
        "Peak memory: highest resident size of the training process, with the pages that its "
        "loader shares with nobody; mapped features count. Making features: the whole command, its "
        "start included; they serve every epoch and cell."
    )
    yield starved_note(rounds)
