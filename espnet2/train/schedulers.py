"""Learning rates by ESPnet's names, as plain functions of the number of updates made so far.

A schedule holds no state, so resuming at step n needs n and nothing else. The first update uses
``updates=0``. Values equal ESPnet's; tests compare them with its tables.
"""

import dataclasses
import math
from typing import Any, Protocol

from espnet2.utils.config import from_dict
from espnet2.utils.errors import ConfigError


class Schedule(Protocol):
    """Anything that scales the configured learning rate."""

    def factor(self, updates: int) -> float:
        """What to multiply ``optim_conf.lr`` with for the update after ``updates`` updates."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constant:
    """The configured learning rate throughout (``scheduler: null``)."""

    def factor(self, updates: int) -> float:
        """Always one."""
        return 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmupLR:
    """Linear rise to ``lr`` at ``warmup_steps``, then inverse square root."""

    warmup_steps: int = 25000
    """The update at which the learning rate peaks."""

    def factor(self, updates: int) -> float:
        """``w^0.5 * min(step^-0.5, step * w^-1.5)`` with step = updates + 1."""
        step, warmup = updates + 1, self.warmup_steps
        return warmup**0.5 * min(step**-0.5, step * warmup**-1.5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoamLR:
    """The Transformer paper's schedule: ``lr`` is only a factor of it."""

    model_size: int = 320
    """Width of the model."""

    warmup_steps: int = 25000
    """The update at which the learning rate peaks."""

    def factor(self, updates: int) -> float:
        """``d^-0.5 * min(step^-0.5, step * w^-1.5)`` with step = updates + 1."""
        step, warmup = updates + 1, self.warmup_steps
        return self.model_size**-0.5 * min(step**-0.5, step * warmup**-1.5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TristageLR:
    """Linear rise, a plateau at ``lr``, exponential decay; shares are of ``max_steps``."""

    max_steps: int = 25000
    """Updates in all three stages."""

    warmup_ratio: float = 0.1
    """Share of the steps that rise."""

    hold_ratio: float = 0.4
    """Share of the steps at the plateau."""

    decay_ratio: float = 0.5
    """Share of the steps that decay."""

    init_lr_scale: float = 0.01
    """Start, as a share of ``lr``."""

    final_lr_scale: float = 0.01
    """End, as a share of ``lr``."""

    def __post_init__(self) -> None:
        total = self.warmup_ratio + self.hold_ratio + self.decay_ratio
        if not math.isclose(total, 1.0):
            raise ConfigError(
                f"scheduler_conf: the three ratios of tristagelr must sum to 1, got {total:g}"
            )

    def factor(self, updates: int) -> float:
        """The stage that step = updates + 1 falls in decides."""
        step = min(updates + 1, self.max_steps)
        warmup = int(self.max_steps * self.warmup_ratio)
        hold_end = warmup + int(self.max_steps * self.hold_ratio)
        decay = int(self.max_steps * self.decay_ratio)
        if step < warmup:
            return self.init_lr_scale + (1 - self.init_lr_scale) * step / warmup
        if step < hold_end or decay == 0:
            return 1.0
        return self.final_lr_scale ** ((step - hold_end) / decay)


SCHEDULES: dict[str | None, type[Schedule]] = {
    None: Constant,
    "warmuplr": WarmupLR,
    "noamlr": NoamLR,
    "tristagelr": TristageLR,
}


def build_schedule(name: str | None, conf: dict[str, Any]) -> Schedule:
    """The schedule ESPnet calls ``name``, with its ``scheduler_conf``.

    Raises:
        ConfigError: an unknown key or a wrong type in ``conf``.
    """
    return from_dict(SCHEDULES[name], conf, f"scheduler_conf of {name}")
