"""What a pre-training will cost, from a few steps of it: nothing of the run is written."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import torch

from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.train.distributed import World, joined
from espnet2.train.memory import gib, peak_bytes
from espnet2.train.pretrain import Pretraining, prepare
from espnet2.train.trainer import Trainer
from espnet2.utils.config import load_section, load_seed
from espnet2.utils.logs import log

WARM_STEPS = 5  # memory is taken and code compiled in these
STEPS = 20
MODELS_A_CHECKPOINT = 3  # the weights and Adam's two means


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """Means over the timed steps of one rank."""

    step_s: float
    """Seconds a step."""

    wait_s: float
    """Of these, waiting for data."""

    audio_s: float
    """Seconds of audio in a step, of all ranks."""

    peak_bytes: int
    """Memory taken on this rank's device."""


def price(
    conf: Path, overrides: list[str], dump: Path, labels_tag: str, ngpu: int
) -> dict[str, float]:
    """Time ``STEPS`` steps of the last phase and say what all of them take.

    Returns the figures it prints. Raises what ``pretrain`` would before its first step.
    """
    options, seed = load_section(conf, "pretrain", overrides), load_seed(conf, overrides)
    with joined(ngpu) as world:
        run = prepare(dump, labels_tag, options, seed, world)
        bill = bill_of(measure(run, world, seed), run, world)
        if world.is_first:
            for line in lines_of(bill, world):
                log(line)
    return bill


def measure(run: Pretraining, world: World, seed: int) -> Measured:
    """Real steps on real batches, the first ones not counted."""
    trainer = Trainer(run.model.to(world.device), run.config, world, seed)
    phases = run.config.phases
    trainer.step = phases[-2].until if len(phases) > 1 else 0
    start, stop = trainer.step, trainer.step + WARM_STEPS + STEPS
    waited_s = audio_s = 0.0
    steps = iter(run.batches.loader(start, stop, run.config.num_workers))
    for step in range(start, stop):
        if step == start + WARM_STEPS:
            settle(world)
            begun, waited_s, audio_s = time.perf_counter(), 0.0, 0.0
        asked = time.perf_counter()
        micro_batches = next(steps)
        waited_s += time.perf_counter() - asked
        trainer.update(micro_batches)
        audio_s += sum(int(batch["speech_lengths"].sum()) for batch in micro_batches)
    settle(world)
    return Measured(
        step_s=(time.perf_counter() - begun) / STEPS,
        wait_s=waited_s / STEPS,
        audio_s=audio_s * world.size / SAMPLE_RATE_HZ / STEPS,
        peak_bytes=peak_bytes(world.device),
    )


def settle(world: World) -> None:
    """Wait until the device has done what it was given."""
    if world.device.type == "cuda":
        torch.cuda.synchronize(world.device)


def bill_of(measured: Measured, run: Pretraining, world: World) -> dict[str, float]:
    """Time and disk of the whole run. ``disk_gib`` is what lies there at its end."""
    config = run.config
    weights = sum(tensor.nbytes for tensor in run.model.state_dict().values())
    copies = -(-config.max_steps // config.intermediate_interval_steps)  # the last step has one
    copies += config.keep_nbest_models
    state = weights * (MODELS_A_CHECKPOINT + (config.ema_decay is not None))
    hours = config.max_steps * measured.step_s / 3600
    return {
        "steps": config.max_steps,
        "step_s": measured.step_s,
        "x_real_time": measured.audio_s / measured.step_s / world.size,
        "data_wait": measured.wait_s / measured.step_s,
        "audio_hours": config.max_steps * measured.audio_s / 3600,
        "passes": config.max_steps / run.batches.plan.steps_per_pass,
        "hours": hours,
        "device_hours": hours * world.size,
        "peak_gib": gib(measured.peak_bytes),
        "checkpoint_gib": gib(state),
        "model_gib": gib(weights),
        "disk_gib": gib(config.keep_checkpoints * state + copies * weights),
    }


def lines_of(bill: dict[str, Any], world: World) -> list[str]:
    """The bill for a person."""
    device = "GPU" if world.device.type == "cuda" else "rank"
    return [
        f"measured on {STEPS} steps of the last phase: {bill['step_s']:.3g} s a step, "
        f"{bill['x_real_time']:,.0f} x real time a {device}, "
        f"data wait {100 * bill['data_wait']:.1f} %, {bill['peak_gib']:.1f} GiB",
        f"{bill['steps']:,} steps hear {bill['audio_hours']:,.1f} h of audio, "
        f"{bill['passes']:.2f} passes over the training set",
        f"they take {bill['hours']:,.2f} h ({bill['hours'] / 24:,.2f} days) without validations: "
        f"{bill['device_hours']:,.2f} {device}-hours",
        f"disk: {bill['disk_gib']:,.2f} GiB in the end ({bill['checkpoint_gib']:.2f} a checkpoint, "
        f"{bill['model_gib']:.2f} a copy of the model)",
    ]
