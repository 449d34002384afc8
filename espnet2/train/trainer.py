"""One step of training: forward, backward, divide, clip, move."""

import contextlib
from typing import Any

import torch
from torch import Tensor, nn

from espnet2.data.augment_torch import augmented
from espnet2.nn.loss_output import LossOutput
from espnet2.train.config import TrainConfig
from espnet2.train.distributed import World, autocast_dtype
from espnet2.train.optim import build_optimizer, clipped_step, set_learning_rate
from espnet2.train.reporter import Reporter
from espnet2.train.signals import StopSignal
from espnet2.utils.seeding import seed_for

Batch = dict[str, Any]  # tensors by the names of the model's arguments; anything else stays behind


class Trainer:
    """A model, its optimiser and the number of steps they have made."""

    def __init__(self, model: nn.Module, config: TrainConfig, world: World, seed: int) -> None:
        self.model, self.config, self.world, self.seed = model, config, world, seed
        self.optimizer = build_optimizer(model.parameters(), config.optim, config.optim_conf)
        self.schedule = config.schedule()
        self.parallel = world.parallel(model)
        self.dtype = autocast_dtype(config.train_dtype, world.device)
        self.phase = None
        self.step = 0

    def update(self, micro_batches: list[Batch], reporter: Reporter) -> None:
        """One step of the optimiser: sum, divide by what was summed over, clip, move."""
        self.enter_phase()
        learning_rate = self.set_learning_rate()
        weight = torch.zeros((), device=self.world.device)
        for micro, batch in enumerate(micro_batches):
            torch.manual_seed(seed_for(self.seed, "dropout", self.step, self.world.rank, micro))
            is_last = micro == len(micro_batches) - 1
            with contextlib.nullcontext() if is_last else self.without_sync():
                output = self.forward(batch)
                output.loss_sum.backward()
            weight = weight + output.weight
            reporter.add(output, batch)
        # The parallel model averages over ranks: dividing by the mean weight makes it a sum.
        mean_weight = self.world.sum(weight) / self.world.size
        norm, skipped = clipped_step(self.optimizer, mean_weight, self.config.grad_clip)
        self.step += 1
        reporter.add_step(norm, skipped, learning_rate)

    def forward(self, batch: Batch) -> LossOutput:
        """The training model's ``LossOutput`` for one micro-batch."""
        with autocast(self.world.device, self.dtype):
            return self.parallel(**on_device(batch, self.world.device))

    def without_sync(self) -> contextlib.AbstractContextManager:
        """Keep gradients on this rank: only the last micro-batch of a step exchanges them."""
        return self.parallel.no_sync() if self.world.size > 1 else contextlib.nullcontext()

    def set_learning_rate(self) -> float:
        """Give the optimiser this step's learning rate."""
        return set_learning_rate(
            self.optimizer, self.config.optim_conf.lr, self.schedule, self.step
        )

    def enter_phase(self) -> None:
        """Tell the model when another phase begins; a model without phases is left alone."""
        phase = self.config.phase_at(self.step)
        if phase is not self.phase and hasattr(self.model, "set_phase"):
            self.model.set_phase(mask_prob=phase.mask_prob, inter_layer=phase.inter_layer)
        self.phase = phase

    def all_agree_to_stop(self, stop: StopSignal) -> bool:
        """Whether any rank was asked to stop; asked every tenth step on a GPU, as it must wait."""
        if self.world.size == 1:
            return stop.requested
        if self.world.device.type == "cuda" and self.step % 10:
            return False
        flag = torch.tensor(float(stop.requested), device=self.world.device)
        return bool(self.world.sum(flag))


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Autocast to ``dtype``; float32 switches it off."""
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)


def on_device(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """The batch's tensors on ``device``, without waiting for the copies.

    Lengths stay on the host: models read them there, and reading them back would wait. Noise and
    rooms that the loader drew and left to the device are applied.
    """
    moved = {
        name: value if name.endswith("_lengths") else value.to(device, non_blocking=True)
        for name, value in batch.items()
        if isinstance(value, Tensor)
    }
    return augmented(moved)
