"""Padding of a batch, decided once on the host.

Shapes: B batch, T frames, C channels.
A batch whose utterances all have full length has no ``Padding`` object at all: ``None`` is the
fast path, and no layer then spends time or memory on a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Padding:
    """Which frames of a batch hold no audio."""

    is_pad: Tensor  # (B, T) bool, True on padding
    lengths: tuple[int, ...]  # B valid frames, known to the host

    @property
    def keep(self) -> Tensor:
        """(B, 1, 1, T) bool, True on real frames: the mask that attention takes."""
        return ~self.is_pad[:, None, None, :]


def padding_for(
    lengths: Sequence[int], max_frames: int, device: torch.device | str
) -> Padding | None:
    """The padding of a batch, or None when every utterance has ``max_frames`` frames."""
    if all(length == max_frames for length in lengths):
        return None
    valid = torch.tensor(lengths, device=device)
    is_pad = torch.arange(max_frames, device=device) >= valid[:, None]  # (B, T)
    return Padding(is_pad, tuple(lengths))


def zero_padding(x: Tensor, padding: Padding | None) -> Tensor:
    """``x`` (B, T, C) with zeros on padding, so that a convolution over time reads silence."""
    return x if padding is None else x.masked_fill(padding.is_pad[..., None], 0.0)
