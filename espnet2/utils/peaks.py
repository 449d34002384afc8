"""What a GPU can do at best."""

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
