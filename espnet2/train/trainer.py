"""One step of training: forward, backward, divide, clip, move."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from espnet2.data.augment_torch import augmented
from espnet2.nn.loss_output import LossOutput
from espnet2.train.config import TrainConfig
from espnet2.train.distributed import World, autocast_dtype, sent
from espnet2.train.ema import Ema
from espnet2.train.optim import build_optimizer, clipped_step, set_learning_rate
from espnet2.train.parallel import build_parallel
from espnet2.train.signals import StopSignal
from espnet2.utils.seeding import seed_for

Batch = dict[str, Any]  # tensors by the names of the model's arguments; anything else stays behind
NOT_FOR_THE_MODEL = ("languages",)  # tensors that only reports are made of


class Batches(Protocol):
    """A function from the number of a batch to this rank's part of it."""

    def loader(self, start: int, stop: int, num_workers: int) -> Iterable[list[Batch]]:
        """Micro-batches of the batches ``start`` to ``stop`` (not included), in order."""


@dataclass(frozen=True, kw_only=True)
class StepOutcome:
    """What a step tells, still on the device."""

    outputs: list[LossOutput]
    """Of its micro-batches."""

    norm: Tensor
    """L2 norm of the gradient of the mean loss before clipping, 0 where it is not finite."""

    skipped: Tensor
    """1.0 where the weights stayed as they were, because that norm was not finite."""

    learning_rate: float
    """Of this step."""


class Trainer:
    """A model, its optimiser, and how far they are.

    ``step`` counts updates; ``shift`` the batches that rollbacks left out, so that the batch of a
    step is batch ``step + shift`` of the plan; ``rollbacks`` how often that was.
    """

    def __init__(self, model: nn.Module, config: TrainConfig, world: World, seed: int) -> None:
        self.model, self.config, self.world, self.seed = model, config, world, seed
        if config.compile is not None and hasattr(model, "compile_blocks"):
            model.compile_blocks(for_any_length=config.compile == "any")
        self.parallel = build_parallel(model, config, world)
        self.optimizer = build_optimizer(trained_by(model), config.optim, config.optim_conf)
        self.schedule = config.schedule()
        self.ema = Ema(model, config.ema_decay) if config.ema_decay is not None else None
        self.dtype = autocast_dtype(config.train_dtype, world.device)
        self.phase = None
        self.step = self.shift = self.rollbacks = 0

    def update(self, micro_batches: list[Batch]) -> StepOutcome:
        """One step of the optimiser: sum, divide by what was summed over, clip, move."""
        self.enter_phase()
        learning_rate = set_learning_rate(
            self.optimizer, self.config.optim_conf.lr, self.schedule, self.step
        )
        outputs, weight = [], torch.zeros((), device=self.world.device)
        for micro, batch in enumerate(micro_batches):
            torch.manual_seed(seed_for(self.seed, "dropout", self.step, self.world.rank, micro))
            is_last = micro == len(micro_batches) - 1
            # Only the last micro-batch exchanges gradients: one exchange a step.
            with contextlib.nullcontext() if is_last else self.parallel.without_sync():
                output = self.forward(batch)
                output.loss_sum.backward()
            weight = weight + output.weight
            outputs.append(output)
        # The parallel model averages over ranks: dividing by the mean weight makes it a sum.
        mean_weight = self.world.sum(weight) / self.world.size
        norm, skipped = clipped_step(self.optimizer, mean_weight, self.config.grad_clip)
        if self.ema is not None:
            self.ema.update()
        self.step += 1
        return StepOutcome(outputs=outputs, norm=norm, skipped=skipped, learning_rate=learning_rate)

    def forward(self, batch: Batch) -> LossOutput:
        """The training model's ``LossOutput`` for one micro-batch."""
        with autocast(self.world.device, self.dtype):
            return self.parallel(**on_device(batch, self.world.device))

    def enter_phase(self) -> None:
        """Tell the model when another phase begins, and the step to one that changes with it; a
        model without either is left alone."""
        if hasattr(self.model, "set_step"):
            self.model.set_step(self.step)
        phase = self.config.phase_at(self.step)
        if phase is not self.phase and hasattr(self.model, "set_phase"):
            self.model.set_phase(mask_prob=phase.mask_prob, inter_layer=phase.inter_layer)
        self.phase = phase

    def leave_out_batches_since(self, step: int, shift: int) -> None:
        """After a return to an earlier state: batches up to (step, shift) are not used again."""
        self.shift = step + shift - self.step
        self.rollbacks += 1

    def all_agree_to_stop(self, stop: StopSignal) -> bool:
        """Whether any rank was asked to stop; asked every tenth step on a GPU, as it must wait."""
        if self.world.size == 1:
            return stop.requested
        if self.world.device.type == "cuda" and self.step % 10:
            return False
        flag = torch.tensor(float(stop.requested), device=self.world.device)
        return bool(self.world.sum(flag))


def trained_by(model: nn.Module) -> Iterable[Any]:
    """A model's own groups of parameters, or else all that it has."""
    has_groups = hasattr(model, "parameter_groups")
    return model.parameter_groups() if has_groups else model.parameters()


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Autocast to ``dtype``; float32 switches it off."""
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)


def on_device(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """The batch's tensors on ``device``, without waiting for the copies.

    Lengths stay on the host: models read them there, and reading them back would wait. Noise and
    rooms that the loader drew and left to the device are applied.
    """
    moved = {
        name: value if name.endswith("_lengths") else sent(value, device)
        for name, value in batch.items()
        if isinstance(value, Tensor) and name not in NOT_FOR_THE_MODEL
    }
    return augmented(moved)
