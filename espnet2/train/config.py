"""The keys that the training loop reads; ESPnet's names where it has one."""

import dataclasses
from typing import Any, Literal

from espnet2.train.schedulers import Schedule, build_schedule
from espnet2.utils.config import from_dict
from espnet2.utils.errors import ConfigError

POSITIVE = (
    "max_steps", "accum_grad", "log_interval_steps", "valid_batches", "save_interval_steps",
    "keep_checkpoints", "intermediate_interval_steps",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of steps with its own masking and augmentation."""

    until: int | None = None
    """First step that no longer belongs to the phase; the last phase needs none."""

    mask_prob: float | None = None
    """Share of masked frames asked of the masker; null leaves the model's own."""

    noise_prob: float = 0.0
    """Chance that noise or another speaker is mixed into an utterance."""

    rir_prob: float = 0.0
    """Chance that an utterance is reverberated (after noise)."""

    inter_layer: dict[int, float] = dataclasses.field(default_factory=dict)
    """Extra losses: weight by the number of the layer, e.g. {10: 0.3} (arXiv 2407.00837, A.4)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """``optim_conf``: torch's own names and defaults."""

    lr: float = 1e-3
    """Peak learning rate (for noamlr: a factor)."""

    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the running means of gradient and squared gradient."""

    eps: float = 1e-8
    """Added to the denominator."""

    weight_decay: float = 0.0
    """Pull towards zero."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train, whatever the model."""

    max_steps: int
    """Optimiser steps in all."""

    optim: Literal["adam", "adamw"] = "adam"
    """Optimiser."""

    optim_conf: OptimConfig = OptimConfig()
    """Its settings."""

    scheduler: Literal["warmuplr", "noamlr", "tristagelr"] | None = None
    """Learning-rate schedule; null keeps ``lr``."""

    scheduler_conf: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Its settings."""

    grad_clip: float = 5.0
    """L2 norm that the gradient of the mean loss is clipped to; 0 switches it off."""

    accum_grad: int = 1
    """Micro-batches that one step's batch is cut into."""

    train_dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """Autocast type; auto is bfloat16 where the device multiplies it in hardware."""

    phases: tuple[Phase, ...] = (Phase(),)
    """Stretches of steps, in order."""

    log_interval_steps: int = 50
    """Steps between two rows of metrics."""

    valid_interval_steps: int = 500
    """Steps between two validations; 0 switches them off."""

    valid_batches: int = 8
    """Batches in one validation."""

    save_interval_steps: int = 500
    """Steps between two checkpoints."""

    keep_checkpoints: int = 2
    """Checkpoints to keep for resuming."""

    intermediate_interval_steps: int = 500
    """Steps between two copies of the model alone; all are kept, export averages the last."""

    num_workers: int = 1
    """Loader processes a rank; 0 loads in the training process. Never changes the batches."""

    use_tensorboard: bool = False
    """Also write TensorBoard's event files."""

    def __post_init__(self) -> None:
        if problems := list(self.problems()):
            raise ConfigError("training cannot start: " + "; ".join(problems))
        self.schedule()

    def schedule(self) -> Schedule:
        """The learning-rate schedule; tristagelr's stages are shares of the run's own length."""
        own = {"max_steps": self.max_steps} if self.scheduler == "tristagelr" else {}
        return build_schedule(self.scheduler, {**own, **self.scheduler_conf})

    def problems(self):
        """Sentences about values that cannot be used together."""
        for name in POSITIVE:
            if getattr(self, name) < 1:
                yield f"{name} must be at least 1, got {getattr(self, name)}"
        for name in ("valid_interval_steps", "num_workers"):
            if getattr(self, name) < 0:
                yield f"{name} must not be negative, got {getattr(self, name)}"
        if self.optim_conf.lr <= 0:
            yield f"optim_conf.lr must be positive, got {self.optim_conf.lr}"
        yield from self.phase_problems()

    def phase_problems(self):
        """Sentences about phases that overlap, leave steps out, or ask the impossible."""
        if not self.phases:
            yield "phases must hold at least one phase"
        start = 0
        for i, phase in enumerate(self.phases):
            is_last = i == len(self.phases) - 1
            if phase.until is None and not is_last:
                yield f"phases[{i}].until is required: only the last phase runs to the end"
            if phase.until is not None and phase.until <= start:
                yield f"phases[{i}].until must be above {start}, got {phase.until}"
            if is_last and phase.until is not None and phase.until < self.max_steps:
                yield (
                    f"phases end at step {phase.until}, max_steps is {self.max_steps}: "
                    "drop the last phase's until"
                )
            start = phase.until or start
            for name in ("mask_prob", "noise_prob", "rir_prob"):
                value = getattr(phase, name)
                if value is not None and not 0 <= value <= 1:
                    yield f"phases[{i}].{name} must lie in 0..1, got {value}"

    def phase_at(self, step: int) -> Phase:
        """The phase that the step after ``step`` updates belongs to."""
        return next((p for p in self.phases if p.until is None or step < p.until), self.phases[-1])


def train_config(data: dict[str, Any], where: str) -> TrainConfig:
    """``TrainConfig`` from plain data; ``where`` names its source in errors."""
    return from_dict(TrainConfig, data, where)
