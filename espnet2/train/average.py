"""The mean of several checkpoints' weights, and which ones to take."""

from pathlib import Path

from torch import Tensor

from espnet2.train.best import read_ranking
from espnet2.train.checkpoint import load_tensors, saved_steps, step_path
from espnet2.utils.errors import CheckpointError
from espnet2.utils.logs import log


def last_checkpoints(exp: Path, count: int) -> list[Path]:
    """The last ``count`` of ``exp``'s intermediate models, oldest first.

    Raises:
        CheckpointError: there is none.
    """
    folder = exp / "intermediate"
    return refuse_none(folder, saved_steps(folder)[-count:], count)


def best_checkpoints(exp: Path, count: int) -> list[Path]:
    """The ``count`` models of lowest validation loss that ``exp`` kept, by step.

    Raises:
        CheckpointError: there is none.
    """
    folder = exp / "best"
    ranking = read_ranking(folder)[:count]
    return refuse_none(folder, sorted(row["step"] for row in ranking), count)


def refuse_none(folder: Path, steps: list[int], count: int) -> list[Path]:
    """Paths of the checkpoints of ``steps``; says so if there are fewer than ``count``."""
    if not steps:
        raise CheckpointError(f"{folder} holds no checkpoint; run the pretrain stage")
    if len(steps) < count:
        log(f"{folder} holds {len(steps)} of the {count} checkpoints asked for; taking those")
    return [step_path(folder, step) for step in steps]


def average(paths: list[Path]) -> dict[str, Tensor]:
    """Mean of the ``model`` of each checkpoint, added up in float64 and returned in its own type.

    One checkpoint at a time is in memory. Whole numbers (counters) are taken from the last one.

    Raises:
        CheckpointError: the checkpoints do not hold the same tensors.
    """
    sums: dict[str, Tensor] = {}
    shapes = {}
    for path in paths:
        last = load_tensors(path)["model"]
        shapes = shapes or {name: tensor.shape for name, tensor in last.items()}
        if shapes != {name: tensor.shape for name, tensor in last.items()}:
            raise CheckpointError(f"{path} holds other tensors than {paths[0]}")
        for name, tensor in last.items():
            if not tensor.is_floating_point():
                continue
            sums[name] = sums[name].add_(tensor) if name in sums else tensor.double()
    return {
        name: (sums.pop(name) / len(paths)).to(tensor.dtype) if name in sums else tensor.clone()
        for name, tensor in last.items()
    }
