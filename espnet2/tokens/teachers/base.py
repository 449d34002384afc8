"""What a teacher is: a batch of audio in, the frames of one layer at 50 Hz out.

Shapes: B utterances, N frames of all of them together, D width of a frame.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Frames:
    """The frames of a batch, packed: utterance after utterance, no padding."""

    values: np.ndarray  # (N, D) float32
    lengths: np.ndarray  # (B,) int64     frames of each utterance; sums to N


class Teacher(Protocol):
    """Turns audio into frames; frame t belongs to samples [320 t, 320 t + 400)."""

    dim: int
    """Width D of a frame."""

    def frames(self, audio: list[np.ndarray]) -> Frames:
        """Frames of a batch of float32 signals (samples,) in ±1 at 16 kHz.

        An utterance's frames do not depend on what else is in the batch.
        """
        ...

    def identity(self) -> dict[str, Any]:
        """What a codebook has to remember: name, layer, settings, weights' hash."""
        ...


def pack(parts: list[np.ndarray], dim: int) -> Frames:
    """Put the frames (T, D) of single utterances behind each other."""
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    values = np.concatenate(parts) if parts else np.zeros((0, dim), dtype=np.float32)
    return Frames(values=values, lengths=lengths)
