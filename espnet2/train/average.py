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

    The files are mapped, so that beside the mean one tensor at a time is in memory. Whole numbers
    (counters) are taken from the last one.

    Raises:
        CheckpointError: the checkpoints do not hold the same tensors.
    """
    states = [load_tensors(path)["model"] for path in paths]
    shapes = [{name: tensor.shape for name, tensor in state.items()} for state in states]
    for path, found in zip(paths, shapes, strict=True):
        if found != shapes[0]:
            raise CheckpointError(f"{path} holds other tensors than {paths[0]}")
    return {name: mean([state[name] for state in states]) for name in states[0]}


def mean(tensors: list[Tensor]) -> Tensor:
    """The mean of tensors of one shape; of whole numbers the last."""
    last = tensors[-1]
    if not last.is_floating_point():
        return last.clone()
    total = tensors[0].double()
    for tensor in tensors[1:]:
        total += tensor
    return (total / len(tensors)).to(last.dtype)
