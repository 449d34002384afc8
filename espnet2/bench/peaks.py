"""What a GPU can do at best, and how long a piece of work would take it at that rate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Peak:
    """Rates of one device by its vendor's data sheet."""

    name: str
    """Part of the name that the driver gives the device."""

    matrix_flops_s: float
    """Dense bfloat16 matrix operations a second."""

    vector_flops_s: float
    """float32 operations a second outside the matrix units."""

    bytes_s: float
    """Bytes a second between memory and processor."""


PEAKS = (
    Peak(name="H200", matrix_flops_s=989e12, vector_flops_s=67e12, bytes_s=4.8e12),
    Peak(name="H100 80GB HBM3", matrix_flops_s=989e12, vector_flops_s=67e12, bytes_s=3.35e12),
    Peak(name="A100-SXM4-80GB", matrix_flops_s=312e12, vector_flops_s=19.5e12, bytes_s=2.039e12),
    Peak(name="A100-SXM4-40GB", matrix_flops_s=312e12, vector_flops_s=19.5e12, bytes_s=1.555e12),
)


def peak_of(device_name: str) -> Peak | None:
    """The rates of a device; None for one that is not in the table."""
    return next((peak for peak in PEAKS if peak.name in device_name), None)


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
