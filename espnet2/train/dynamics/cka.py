"""How alike two sets of features of the same frames are: linear CKA.

Centred kernel alignment (Kornblith et al. 2019, arXiv 1905.00414, equation of section 3):
``|XᵀY|² / (|XᵀX| |YᵀY|)`` in Frobenius norms, each column centred. 1 for features that differ by a
rotation, a shift and one scale; towards 0 for unrelated ones. This is the plain estimate, which is
biased upwards (not the debiased one): few frames (less than some ten times the width) have a good
deal of it by chance.

Cross-products are summed in float64, part by part: never are all frames in memory.

Shapes: N frames, D and E widths, L layers.
"""

import math

import torch
from torch import Tensor

PART_FRAMES = 4096


def cross_norm(x: Tensor, y: Tensor, device: torch.device) -> float:
    """``|XᵀY|`` (Frobenius) of centred ``x`` (N, D) and ``y`` (N, E), which may lie on the disk."""
    products = torch.zeros(x.shape[1], y.shape[1], dtype=torch.float64, device=device)  # (D, E)
    sums = [torch.zeros(z.shape[1], dtype=torch.float64, device=device) for z in (x, y)]
    for start in range(0, len(x), PART_FRAMES):
        a, b = (z[start : start + PART_FRAMES].to(device).double() for z in (x, y))
        products.addmm_(a.T, b)
        for total, part in zip(sums, (a, b), strict=True):
            total += part.sum(0)
    return float((products - torch.outer(*sums) / len(x)).norm())


def ratio(cross: float, one: float, other: float) -> float | None:
    """CKA of three norms; None where features are constant or not finite."""
    scale = one * other
    return cross**2 / scale if 0 < scale < math.inf and math.isfinite(cross) else None


def linear_cka(x: Tensor, y: Tensor, device: torch.device) -> float | None:
    """CKA of ``x`` (N, D) and ``y`` (N, E); None where one is constant or not finite."""
    return ratio(*(cross_norm(a, b, device) for a, b in ((x, y), (x, x), (y, y))))


def own_norms(states: Tensor, device: torch.device) -> list[float]:
    """``|XᵀX|`` of every layer of ``states`` (L, N, D)."""
    return [cross_norm(x, x, device) for x in states]


def same_layers(
    one: Tensor, other: Tensor, norms: tuple[list[float], list[float]], device: torch.device
) -> list[float | None]:
    """CKA of each layer of ``one`` (L, N, D) with the same layer of ``other``.

    ``norms``: ``own_norms`` of both.
    """
    pairs = zip(one, other, *norms, strict=True)
    return [ratio(cross_norm(x, y, device), a, b) for x, y, a, b in pairs]


def all_layers(
    states: Tensor, norms: list[float], device: torch.device
) -> list[list[float | None]]:
    """CKA (L, L) of each two layers of ``states`` (L, N, D); ``norms``: its ``own_norms``."""
    table = [[None] * len(states) for _ in states]
    for i, x in enumerate(states):
        for j in range(i + 1):
            cross = norms[i] if i == j else cross_norm(x, states[j], device)
            table[i][j] = table[j][i] = ratio(cross, norms[i], norms[j])
    return table
