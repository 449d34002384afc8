"""How large an encoder's layers are: what ``features.normalise: std`` divides them by.

An encoder's first layer may be ten times as large as its blocks (4.3 beside 0.4 in a small model of
ours). A weighted sum then begins as that layer alone, and its weights move slowly.
Shapes: T frames of 20 ms, L layers, D width.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from espnet2.utils.errors import DataError

SAMPLE_S = 600.0  # of audio


def layer_std(features: Iterable[Tensor]) -> list[float]:
    """(L,) standard deviation of each layer, of values less their utterance's mean.

    A layer that never changes has 1. ``features``: (T, L, D) of each utterance.

    Raises:
        DataError: no frame at all, or values that are not finite.
    """
    total, count = torch.zeros(()), 0
    for x in features:
        if len(x):
            x = x.float()
            total = total + (x - x.mean(0)).double().square().sum((0, 2))
            count += x.shape[0] * x.shape[2]
    if not count:
        raise DataError("there is no frame of audio to measure the layers by (features.normalise)")
    std = (total / count).sqrt()
    if not std.isfinite().all():
        bad = (~std.isfinite()).nonzero()[0].item()
        raise DataError(f"the encoder's layer {bad} is not finite; it cannot be normalised")
    return [float(f"{value:.6g}") or 1.0 for value in std.tolist()]
