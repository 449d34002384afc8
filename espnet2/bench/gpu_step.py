"""Whole training steps and whole encodings, at several sizes of the batch."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from espnet2.bench.gpu_predict import BYTES_SHARE, MATRIX_SHARE, Prediction, predict
from espnet2.bench.table import Table
from espnet2.bench.timing import (
    NOTHING,
    OUT_OF_MEMORY,
    Setup,
    attempt,
    measure,
    milliseconds,
    row_of,
)
from espnet2.data.frames import SAMPLE_RATE_HZ, num_frames
from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.ssl.factory import build_model
from espnet2.ssl.flops import TRAINING, training_flops, utterance_flops
from espnet2.train.distributed import World
from espnet2.train.reporter import Reporter
from espnet2.train.trainer import Batch, Trainer, autocast

COLUMNS = (
    "variant", "batch", "ms", "predicted ms", "predicted bound", "× real time", "MFU", "peak GiB",
    "first call s",
)  # fmt: skip
BUDGET_S = 2.0  # of timed calls, a row
MFU_NOTE = (
    "MFU: operations of the closed form (backward twice the forward pass, nothing for activations "
    "computed again) over time and the data sheet's dense bf16 rate"
)


PREDICTED_NOTE = (
    f"predicted before measuring: matrix products at {MATRIX_SHARE:.0%} of the data sheet's rate, "
    f"what lies between them (bytes counted layer by layer) and Adam at {BYTES_SHARE:.0%} of its "
    "bandwidth, or the host's time to launch kernels, whichever is longer; the bound is the largest"
)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to run the model, and the sizes to run it at."""

    name: str
    """What its rows are called."""

    sizes: tuple[tuple[float, float], ...]
    """(seconds an utterance, seconds a batch)."""

    compiled: Literal["buckets", "any"] | None = None
    """``compile`` of the training loop: its blocks, for each length or for any; None: eager."""

    is_checkpointed: bool = False
    """Activations of the blocks are computed twice and stored once."""

    is_padded: bool = False
    """Utterances are 60 to 100 % as long as the batch."""


LADDER = ((20, 100), (20, 200), (20, 400), (20, 800), (20, 1600))
LENGTHS = ((10, 400), (40, 400))
TRAIN_VARIANTS = (
    Variant(name="eager", sizes=(*LENGTHS, *LADDER)),
    Variant(name="compiled for each length", sizes=(*LENGTHS, *LADDER), compiled="buckets"),
    Variant(name="compiled for any length", sizes=(*LENGTHS, *LADDER[2:]), compiled="any"),
    Variant(name="checkpointed", sizes=LADDER[2:], is_checkpointed=True),
    Variant(
        name="checkpointed, compiled for each length",
        sizes=LADDER[2:],
        compiled="buckets",
        is_checkpointed=True,
    ),
)
ENCODE_VARIANTS = (
    Variant(name="eager", sizes=((20, 100), (20, 400), (20, 1600))),
    Variant(name="eager, padded", sizes=((20, 400),), is_padded=True),
    Variant(name="compiled for any length", sizes=((20, 400), (20, 1600)), compiled="any"),
)
TINY_SIZES = ((0.5, 1), (0.5, 2))


@dataclass(frozen=True, kw_only=True)
class Job:
    """One thing to time."""

    call: Callable[[], object]
    """Does it once."""

    audio_s: float
    """Seconds of audio in it."""

    flops: float
    """Operations of its matrix products."""

    prediction: Prediction | None
    """What it should take; None where nothing is known of the device."""


class TrainingSteps:
    """The training loop's own step on random audio and labels."""

    def __init__(self, setup: Setup, variant: Variant) -> None:
        self.setup, self.variant = setup, variant
        self.model = build(setup, variant)
        world = World(device=setup.device)
        config = dataclasses.replace(setup.train, compile=variant.compiled)
        self.trainer = Trainer(self.model, config, world, seed=0)
        self.folder = tempfile.TemporaryDirectory()  # the reporter wants one
        flops = training_flops(setup.model)
        self.reporter = Reporter(Path(self.folder.name), config, world, 0, {}, flops=flops)

    def job(self, lengths: list[int]) -> Job:
        """A step of utterances of equal ``lengths``, in samples."""
        self.trainer.optimizer.zero_grad(set_to_none=True)  # left over where memory ran out
        batch = training_batch(self.setup, lengths)
        weights = sum(p.numel() for p in self.model.parameters())
        frames = [num_frames(n) for n in lengths]
        return Job(
            call=lambda: self.step(batch),
            audio_s=sum(lengths) / SAMPLE_RATE_HZ,
            flops=TRAINING * sum(utterance_flops(self.setup.model, t) for t in frames),
            prediction=prediction(self.setup, self.variant, frames, weights),
        )

    def step(self, batch: Batch) -> None:
        """As the loop makes one: update, and note what it tells."""
        outcome = self.trainer.update([batch])
        self.reporter.add(outcome.outputs[0], batch)
        self.reporter.add_step(outcome.norm, outcome.skipped, outcome.learning_rate)


class Encodings:
    """``encode`` on random audio."""

    def __init__(self, setup: Setup, variant: Variant) -> None:
        self.setup, self.variant = setup, variant
        self.model = build(setup, variant).eval()
        if variant.compiled is not None:
            self.model.compile_blocks(for_any_length=variant.compiled == "any")

    def job(self, lengths: list[int]) -> Job:
        """The features of every block for utterances of ``lengths`` samples."""
        speech, speech_lengths = waveforms(self.setup, lengths)

        def call() -> None:
            with torch.no_grad(), autocast(self.setup.device, torch.bfloat16):
                self.model.encode(speech, speech_lengths)

        frames = [num_frames(n) for n in lengths]
        return Job(
            call=call,
            audio_s=sum(lengths) / SAMPLE_RATE_HZ,
            flops=sum(utterance_flops(self.setup.model, t, has_head=False) for t in frames),
            prediction=prediction(self.setup, self.variant, frames, weights=0),
        )


def build(setup: Setup, variant: Variant) -> ESPnetSSLModel:
    """A fresh model on the device, checkpointed as the variant says."""
    encoder = dataclasses.replace(setup.model.encoder, activation_ckpt=variant.is_checkpointed)
    with setup.device:
        return build_model(dataclasses.replace(setup.model, encoder=encoder))


def prediction(
    setup: Setup, variant: Variant, frames: list[int], weights: int
) -> Prediction | None:
    """What a call on utterances of ``frames`` frames should take on this device."""
    if setup.peak is None:
        return None
    return predict(
        setup.model, setup.peak, frames, weights=weights,
        is_compiled=variant.compiled is not None, is_checkpointed=variant.is_checkpointed,
    )  # fmt: skip


def waveforms(setup: Setup, lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Noise (B, N) on the device, and ``lengths`` (B,) on the host."""
    speech = 0.1 * torch.randn(len(lengths), max(lengths), device=setup.device)
    return speech, torch.tensor(lengths)


def training_batch(setup: Setup, lengths: list[int]) -> Batch:
    """A batch of noise with random labels."""
    speech, speech_lengths = waveforms(setup, lengths)
    frames = num_frames(max(lengths))
    classes = min(loss.num_classes for loss in setup.model.losses)
    return {
        "speech": speech,
        "speech_lengths": speech_lengths,
        "text": torch.randint(classes, (len(lengths), frames), device=setup.device),
        "text_lengths": torch.full((len(lengths),), frames),
    }


def lengths_of(count: int, length_s: float, is_padded: bool) -> list[int]:
    """Samples of ``count`` utterances: all equal, or from the whole down to 60 %."""
    samples = round(length_s * SAMPLE_RATE_HZ)
    shorter = 0.4 / max(count - 1, 1) if is_padded else 0.0
    return [round(samples * (1 - shorter * index)) for index in range(count)]


def step(setup: Setup) -> Table:
    """Training steps: forward, backward, clip, Adam, as the training loop makes them."""
    notes = (
        MFU_NOTE,
        PREDICTED_NOTE,
        "float32 weights, autocast to bf16; audio and labels already lie on the device",
    )
    return table(setup, "training step", TRAIN_VARIANTS, TrainingSteps, notes)


def encode(setup: Setup) -> Table:
    """Features of every block for a batch of utterances."""
    notes = (
        MFU_NOTE,
        PREDICTED_NOTE,
        "padded: utterances of 60 to 100 % of the length; only their own seconds are counted",
    )
    return table(setup, "encode", ENCODE_VARIANTS, Encodings, notes)


def table(
    setup: Setup,
    title: str,
    variants: tuple[Variant, ...],
    kind: type[TrainingSteps] | type[Encodings],
    notes: tuple[str, ...],
) -> Table:
    """Every variant at every size that fits into memory."""
    encoder = setup.model.encoder
    title += f", bf16, {encoder.num_blocks} blocks of width {encoder.output_size}"
    rows = [row for variant in variants for row in variant_rows(setup, title, variant, kind)]
    return Table(title=title, columns=COLUMNS, rows=tuple(rows), notes=notes)


def variant_rows(
    setup: Setup, title: str, variant: Variant, kind: type[TrainingSteps] | type[Encodings]
) -> list[tuple[str, ...]]:
    """One variant's rows; a batch larger than one that did not fit is left out."""
    if variant.compiled and not setup.can_compile:
        return [failure(title, variant, "all", "not compiled: see --compile")]
    setup.clear()
    jobs = attempt(setup, lambda: kind(setup, variant))
    if isinstance(jobs, str):
        return [failure(title, variant, "all", jobs)]
    rows, full_s = [], float("inf")
    for length_s, total_s in TINY_SIZES if setup.is_tiny else variant.sizes:
        if total_s >= full_s:
            continue
        count = round(total_s / length_s)
        lengths, batch = lengths_of(count, length_s, variant.is_padded), f"{count} × {length_s:g} s"
        cells = attempt(setup, partial(job_cells, setup, jobs, lengths))
        if isinstance(cells, str):
            full_s = total_s if cells == OUT_OF_MEMORY else full_s
            rows.append(failure(title, variant, batch, cells))
        else:
            rows.append(row_of(title, [variant.name, batch, *cells]))
    return rows


def failure(title: str, variant: Variant, batch: str, reason: str) -> tuple[str, ...]:
    """A row without a result."""
    return row_of(title, [variant.name, batch, reason, *[NOTHING] * (len(COLUMNS) - 3)])


def job_cells(setup: Setup, jobs: TrainingSteps | Encodings, lengths: list[int]) -> list[str]:
    """Measure one size and write it down, from the third column on."""
    job = jobs.job(lengths)
    timing = measure(setup, job.call, BUDGET_S)
    mfu = predicted = bound = NOTHING
    if setup.peak is not None:
        mfu = f"{100 * job.flops / setup.peak.matrix_flops_s / timing.median_s:.1f} %"
    if job.prediction is not None:
        predicted, bound = milliseconds(job.prediction.seconds), job.prediction.bound
    memory = NOTHING if timing.peak_bytes is None else f"{timing.peak_bytes / 2**30:.1f}"
    return [
        milliseconds(timing.median_s),
        predicted,
        bound,
        f"{job.audio_s / timing.median_s:.0f}",
        mfu,
        memory,
        f"{timing.first_s:.1f}",
    ]
