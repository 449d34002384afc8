"""What every model of the training loop returns."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class FrameOutcome:
    """What became of each frame; detached, on the device. Shapes: B batch, T frames."""

    labels: Tensor
    """(B, T) int64: the right clusters."""

    predictions: Tensor
    """(B, T) int64: the most likely ones."""

    loss: Tensor
    """(B, T) fp32: cross entropy."""

    is_masked: Tensor
    """(B, T) bool: frames that the encoder did not see."""


@dataclass(frozen=True, kw_only=True)
class LossOutput:
    """A summed loss and what it was summed over; nothing here was read by the host."""

    loss_sum: Tensor
    """Scalar fp32; the loop divides its gradient by the weight summed over all ranks."""

    weight: Tensor
    """Scalar fp32: units in the sum (frames or tokens); may be 0."""

    counts: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Meter name -> (numerator, denominator), scalars on the device."""

    frames: FrameOutcome | None = None
    """Frame by frame, where the model predicts clusters."""
