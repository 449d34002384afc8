"""The largest batch that fits: the plan's worst shape, larger and larger, with real updates.

Memory grows in proportion to the rows of a batch, so sizes are doubled until one does not fit and
then halved towards the limit. What fits is left with a margin: allocators need some play, and
ranks some memory for talking to each other.
"""

import contextlib
import dataclasses
import gc
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from espnet2.data.frames import SAMPLE_RATE_HZ, num_frames
from espnet2.data.plan.buckets import Bucket
from espnet2.train.config import TrainConfig
from espnet2.train.distributed import World, joined
from espnet2.train.memory import KIB, free_bytes, gib
from espnet2.train.pretrain import Pretraining, prepare
from espnet2.train.trainer import Batch, Trainer
from espnet2.utils.config import load_section, load_seed
from espnet2.utils.errors import ConfigError
from espnet2.utils.logs import log

MARGIN = 0.9  # of the memory that is free at the beginning
FINE = 0.05  # stop when what fits and what does not are so near each other
MOST_BATCHES = 8  # of the plan: nobody needs more on one device
NO_MEMORY = ("out of memory", "alloc", "could not create")  # words of torch and oneDNN


def find_batch(
    conf: Path, overrides: list[str], dump: Path, labels_tag: str, ngpu: int, ranks: int
) -> dict[str, float]:
    """Say, and return, how many rows fit on one device at a time; ``ranks`` will share the batch.

    Raises:
        ConfigError: not even one row fits.
    """
    options, seed = load_section(conf, "pretrain", overrides), load_seed(conf, overrides)
    with joined(ngpu) as world:
        run = prepare(dump, labels_tag, options, seed, world)
        bucket = worst(run.batches.plan.buckets)
        trial = Trial(run, world, bucket, seed)
        rows = most_rows(trial.fits, MOST_BATCHES * bucket.batch)
    if not rows:
        raise ConfigError(
            f"not one row of {bucket.num_samples / SAMPLE_RATE_HZ:.1f} s fits into "
            f"{gib(int(trial.limit)):.1f} GiB; set encoder_conf.activation_ckpt or a smaller model"
        )
    found = {
        "rows": rows,
        "seconds": rows * bucket.num_samples / SAMPLE_RATE_HZ,
        "batch_seconds": bucket.batch * bucket.num_samples / SAMPLE_RATE_HZ,
        "accum_grad": -(-bucket.batch // (ranks * rows)),
    }
    most = " or more" if rows == MOST_BATCHES * bucket.batch else ""
    log(
        f"{rows}{most} rows of the longest bucket, {found['seconds']:,.0f} s, fit on a device; the "
        f"plan's batch of {found['batch_seconds']:,.0f} s on {ranks} ranks needs accum_grad "
        f"{found['accum_grad']} or more (it is {run.config.accum_grad})"
    )
    return found


def most_rows(fits: Callable[[int], bool], most: int) -> int:
    """The largest number up to ``most`` that fits, to within ``FINE``; 0 where none does."""
    good, bad = 0, most + 1
    while bad - good > max(1, FINE * good):
        rows = min(max(1, 2 * good), most) if bad > most else (good + bad) // 2
        if fits(rows):
            good = rows
        else:
            bad = rows
        if good == most:
            break
    return good


def worst(buckets: list[Bucket]) -> Bucket:
    """The shape that takes most memory for its seconds: attention's part grows with length."""
    return max(buckets, key=lambda bucket: bucket.num_samples)


class Trial:
    """Updates of a model on random batches of one length, within the free memory."""

    def __init__(self, run: Pretraining, world: World, bucket: Bucket, seed: int) -> None:
        # The phase that keeps most for the backward pass: extra losses keep more logits.
        phase = max(run.config.phases, key=lambda phase: len(phase.inter_layer))
        config: TrainConfig = dataclasses.replace(
            run.config, phases=(dataclasses.replace(phase, until=None),)
        )
        self.world, self.samples = world, bucket.num_samples
        self.classes = min(loss.num_classes for loss in run.model_config.losses)
        self.limit = MARGIN * free_bytes(world.device)
        # Fixed before anything of the run is there: model and optimiser count in every trial.
        self.most = taken_bytes(world.device) + self.limit
        self.trainer = Trainer(run.model.to(world.device), config, world, seed)

    def fits(self, rows: int) -> bool:
        """Whether two updates with ``rows`` rows find the memory they need."""
        try:
            with memory_limited(self.world.device, self.most):
                for _ in range(2):  # the optimiser takes its memory in the first
                    self.trainer.update([self.batch(rows)])
            fits = True
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not any(word in str(error).lower() for word in NO_MEMORY):
                raise
            fits = False
        self.trainer.optimizer.zero_grad(set_to_none=True)
        gc.collect()
        if self.world.device.type == "cuda":
            torch.cuda.empty_cache()
        seconds = rows * self.samples / SAMPLE_RATE_HZ
        log(f"{rows} rows, {seconds:,.0f} s: {'fit' if fits else 'do not fit'} into "
            f"{gib(int(self.limit)):.1f} GiB")  # fmt: skip
        return fits

    def batch(self, rows: int) -> Batch:
        """Noise with random labels."""
        frames = num_frames(self.samples)
        return {
            "speech": 0.1 * torch.randn(rows, self.samples),
            "speech_lengths": torch.full((rows,), self.samples),
            "text": torch.randint(self.classes, (rows, frames)),
            "text_lengths": torch.full((rows,), frames),
        }


@contextlib.contextmanager
def memory_limited(device: torch.device, most: float) -> Iterator[None]:
    """Inside ``with``, this process can hold ``most`` bytes; asking for more is an error."""
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(most / total, 1.0), device)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, device)
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (int(most), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def taken_bytes(device: torch.device) -> int:
    """What this process holds now, as ``memory_limited`` counts it."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * KIB
    raise OSError("/proc/self/status does not tell VmData")
