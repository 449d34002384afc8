"""The mean of several checkpoints' weights."""

from pathlib import Path

from torch import Tensor

from espnet2.train.checkpoint import load_tensors
from espnet2.utils.errors import CheckpointError


def average(paths: list[Path]) -> dict[str, Tensor]:
    """Mean of the ``model`` of each checkpoint, added up in float64 and returned in its own type.

    Whole numbers (counters) are taken from the last checkpoint.

    Raises:
        CheckpointError: the checkpoints do not hold the same tensors.
    """
    sums, last = {}, {}
    for path in paths:
        last = load_tensors(path)["model"]
        shapes = {name: tensor.shape for name, tensor in last.items()}
        if sums and shapes != {name: tensor.shape for name, tensor in sums.items()}:
            raise CheckpointError(f"{path} holds other tensors than {paths[0]}")
        for name, tensor in last.items():
            sums[name] = sums[name] + tensor.double() if name in sums else tensor.double()
    return {
        name: (sums[name] / len(paths)).to(tensor.dtype) if tensor.is_floating_point() else tensor
        for name, tensor in last.items()
    }
