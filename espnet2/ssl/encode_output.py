"""The result of ``encode``: one object for every way of reading it in the wild."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class EncodeOutput:
    """Hidden states of a batch (B utterances, T frames, D width).

    ``out[0][-1]`` and ``layers, mask_info, penalty = out`` read it as the project page's fork
    returned it (the penalty is None: only training computes it); ``out["encoder_output"]``,
    ``out["encoder_output_lengths"]`` and ``out["mask_info"]`` as ESPnet does.
    """

    layers: list[Tensor]
    """One (B, T, D) tensor a block."""

    lengths: Tensor
    """(B,) int64, frames of each utterance."""

    mask_info: dict[str, Tensor] | None
    """``mask_m`` (B, T) bool, True on masked frames; ``mask_u`` on visible ones; or None."""

    def as_tuple(self) -> tuple[list[Tensor], dict[str, Tensor] | None, None]:
        """(layers, mask_info, None), the fork's three values."""
        return self.layers, self.mask_info, None

    def __iter__(self) -> Iterator:
        return iter(self.as_tuple())

    def __len__(self) -> int:
        return 3

    def __getitem__(self, key: int | str) -> Any:
        if not isinstance(key, str):
            return self.as_tuple()[key]
        names = {
            "encoder_output": self.layers,
            "encoder_output_lengths": self.lengths,
            "mask_info": self.mask_info,
        }
        if key not in names:
            raise KeyError(f"{key} is not in the result of encode; there are {', '.join(names)}")
        return names[key]
