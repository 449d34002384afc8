"""What a teacher is: a batch of audio in, the frames of one layer at 50 Hz out.

Shapes: B utterances, N frames of all of them together, D width of a frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Frames:
    """The frames of a batch, packed: utterance after utterance, no padding."""

    values: Tensor  # (N, D) float32, on the teacher's device
    lengths: np.ndarray  # (B,) int64     frames of each utterance; sums to N


class Teacher(Protocol):
    """Turns audio into frames; frame t belongs to samples [320 t, 320 t + 400)."""

    dim: int
    """Width D of a frame."""

    device: torch.device
    """Where the frames are made, and where labels are looked up."""

    computed: str
    """On what and how they are made: "cpu float32". Not part of the identity."""

    def groups(self, num_samples: np.ndarray) -> list[np.ndarray]:
        """Which utterances, as positions in ``num_samples`` (R,), go through together.

        In the order in which they are best read; every position once.
        """
        ...

    def frames(self, audio: Sequence[np.ndarray]) -> Frames:
        """Frames of a batch of float32 signals (samples,) in ±1 at 16 kHz.

        An utterance's frames do not depend on what else is in the batch, to the last bit.
        """
        ...

    def identity(self) -> dict[str, Any]:
        """What a codebook has to remember: name, layer, settings, weights' hash."""
        ...


def pack(parts: Sequence[Tensor], dim: int, device: torch.device) -> Frames:
    """Put the frames (T, D) of single utterances behind each other."""
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    return Frames(torch.cat(list(parts) or [torch.zeros(0, dim, device=device)]), lengths)


def each_alone(num_samples: np.ndarray) -> list[np.ndarray]:
    """``groups`` of one utterance, in the order given."""
    return list(np.arange(len(num_samples))[:, None])
