"""The keys that the training loop reads; ESPnet's names where it has one."""

import dataclasses
from typing import Any, Literal

from espnet2.train.schedulers import Schedule, build_schedule
from espnet2.utils.config import from_dict
from espnet2.utils.errors import ConfigError

POSITIVE = (
    "max_steps", "accum_grad", "log_interval_steps", "valid_batches", "save_interval_steps",
    "keep_checkpoints", "intermediate_interval_steps", "watchdog_s",
)  # fmt: skip
NOT_NEGATIVE = (
    "valid_interval_steps", "num_workers", "keep_nbest_models", "rollback_after", "max_rollbacks",
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

    use_wandb: bool = False
    """Also send the rows to Weights & Biases."""

    wandb_project: str | None = None
    """Its project; null takes the name of the experiment's folder."""

    keep_nbest_models: int = 1
    """Models of lowest validation loss to keep in ``best/``; 0 keeps none."""

    ema_decay: float | None = None
    """Keep a running mean of the weights with this decay a step; validation and export use it."""

    compile: Literal["buckets", "any"] | None = None
    """torch.compile of the encoder's blocks: code for each bucket's length, or asked for any length
    (torch 2.13 keeps to that where nothing is learnt; see ``ESPnetSSLModel.compile_blocks``)."""

    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Ranks hold the whole model each, or share it (FSDP2), where it is too large for one."""

    ddp_comm_hook: Literal["bf16"] | None = None
    """bf16: ranks exchange gradients in bfloat16, half the bytes."""

    watchdog_s: float = 900.0
    """A rank that makes no step for so long ends the job."""

    rollback_after: int = 10
    """Skipped steps in a row after which the run goes back to its last checkpoint and leaves out
    the batches since; 0 ends the run where a whole log interval was skipped."""

    max_rollbacks: int = 3
    """How often it may; then the run ends."""

    spike_ratio: float = 1.5
    """An interval's loss above so many times the recent median is called a spike; 0 looks for
    none."""

    max_unreadable_ratio: float = 0.001
    """Share of rows whose audio could not be read, above which the run ends."""

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
        for name in NOT_NEGATIVE:
            if getattr(self, name) < 0:
                yield f"{name} must not be negative, got {getattr(self, name)}"
        if self.optim_conf.lr <= 0:
            yield f"optim_conf.lr must be positive, got {self.optim_conf.lr}"
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            yield f"ema_decay must lie between 0 and 1, got {self.ema_decay}"
        if self.spike_ratio and self.spike_ratio <= 1:
            yield f"spike_ratio must be above 1 (0 looks for no spike), got {self.spike_ratio}"
        if not 0 <= self.max_unreadable_ratio <= 1:
            yield f"max_unreadable_ratio must lie in 0..1, got {self.max_unreadable_ratio}"
        if self.parallel == "fsdp" and self.ddp_comm_hook:
            yield "ddp_comm_hook belongs to parallel: ddp"
        yield from self.phase_problems()

    def phase_problems(self):
        """Sentences about phases that overlap, leave steps out, or ask the impossible."""
        if not self.phases:
            yield "phases must hold at least one phase"
        start = 0
        for i, phase in enumerate(self.phases):
            is_last = i == len(self.phases) - 1
            if start >= self.max_steps > 0:
                yield (
                    f"phases[{i}] begins at step {start}, max_steps is {self.max_steps}: it is "
                    "never reached; drop it or raise max_steps"
                )
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
