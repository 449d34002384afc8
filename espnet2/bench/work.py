"""The least that a piece of work asks of a device, and how long its best rates take for that."""

from __future__ import annotations

from dataclasses import dataclass

from espnet2.utils.peaks import Peak


@dataclass(frozen=True, kw_only=True)
class Work:
    """The least that a computation has to do, however it is written."""

    matrix_flops: float = 0.0
    """Operations that matrix units can do."""

    vector_flops: float = 0.0
    """Operations that they cannot do, such as those of a depthwise convolution."""

    moved_bytes: float = 0.0
    """Inputs read once and outputs written once."""

    @property
    def flops(self) -> float:
        """All operations."""
        return self.matrix_flops + self.vector_flops

    def floor_s(self, peak: Peak) -> float:
        """Seconds at the peak, memory and both kinds of units working at the same time."""
        return max(
            self.matrix_flops / peak.matrix_flops_s,
            self.vector_flops / peak.vector_flops_s,
            self.moved_bytes / peak.bytes_s,
        )
