"""Checkpoints: whole or absent, tensors only, and the newest readable one is found again."""

import errno
import os
import re
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from espnet2.utils.config import differences
from espnet2.utils.errors import CheckpointError, ConfigError
from espnet2.utils.files import atomic_path
from espnet2.utils.logs import log

STEP_FILE = re.compile(r"step_(\d{7,})\.pth")
STATE_KEYS = frozenset({
    "model", "optimizer", "step", "shift", "rollbacks", "rows", "guards", "config"
})  # fmt: skip
FULL_BYTES = 2**20  # a disk with less left is full

# Settings that may change between two starts of one run: no step depends on them, but for the order
# in which sums are rounded and the draws of dropout (accum_grad, activation_ckpt, compile,
# parallel; as with the number of ranks: a run goes on on other hardware), and what is done about
# steps that failed (spikes, rollbacks): a run that ended over it can go on with more patience.
FREE_KEYS = frozenset({
    "accum_grad", "encoder_conf.activation_ckpt",
    "max_steps", "log_interval_steps", "valid_interval_steps", "valid_batches",
    "save_interval_steps", "keep_checkpoints", "intermediate_interval_steps", "num_workers",
    "use_tensorboard", "use_wandb", "wandb_project", "keep_nbest_models", "compile", "parallel",
    "watchdog_s", "rollback_after", "max_rollbacks", "spike_ratio", "max_unreadable_ratio",
})  # fmt: skip


def step_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of ``step`` lies."""
    return folder / f"step_{step:07d}.pth"


def saved_steps(folder: Path) -> list[int]:
    """Steps that have a checkpoint in ``folder``, ascending."""
    matches = [STEP_FILE.fullmatch(path.name) for path in folder.glob("step_*.pth")]
    return sorted(int(match[1]) for match in matches if match)


def save_tensors(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint; a crash at any moment leaves the old file or the new one."""
    # Given a path, torch would write the temporary name into the file.
    with atomic_path(path) as part:
        try:
            with open(part, "wb") as file:
                torch.save(state, file)
        except (OSError, RuntimeError) as error:
            raise disk_error(error, path) from None


def disk_error(error: Exception, path: Path) -> Exception:
    """The OSError, naming ``path``, that torch hid in ``error``; ``error`` itself if there is none.

    On a full disk torch raises a RuntimeError about positions in the file.
    """
    for cause in (error, error.__cause__, error.__context__):
        if isinstance(cause, OSError) and cause.errno:
            return OSError(cause.errno, cause.strerror, str(path))
    if shutil.disk_usage(path.parent).free < FULL_BYTES:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    return error


def load_tensors(path: Path) -> dict[str, Any]:
    """Read a checkpoint that holds tensors and plain values only.

    Raises:
        CheckpointError: the file is cut or damaged, or carries code.
    """
    if not is_whole(path):
        raise CheckpointError(f"{path} is cut or damaged")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises pickle's error, which we do not import
        raise CheckpointError(f"{path} holds more than tensors: {first_line(error)}") from None


def is_whole(path: Path) -> bool:
    """Whether every record in the file has the check sum it was written with."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError):
        return False  # what zipfile raises depends on which byte is wrong
    except OSError as error:
        if error.errno != errno.EINVAL:  # not of a place before the file's beginning
            raise
        return False


def newest_whole(folder: Path) -> int:
    """Step of the newest checkpoint that can be read; 0 where there is none at all.

    Raises:
        CheckpointError: there are some, and all are damaged.
    """
    steps = saved_steps(folder)
    for step in reversed(steps):
        if is_whole(step_path(folder, step)):
            return step
        if step != steps[0]:
            log(f"{step_path(folder, step)} is cut or damaged; going back to the one before")
    if steps:
        raise CheckpointError(
            f"{step_path(folder, steps[0])} is cut or damaged, and there is no checkpoint before "
            f"it; put a whole one there, or remove {folder} to train again from the first step"
        )
    return 0


def keep_newest(folder: Path, step: int, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints up to ``step``.

    Files of later steps are damaged ones that a resumed run will write again: they do not count.
    """
    steps = [saved for saved in saved_steps(folder) if saved <= step]
    for old in steps[:-keep]:
        step_path(folder, old).unlink()


def load_model_state(model: torch.nn.Module, state: dict[str, Any], where: Path) -> None:
    """Load every tensor of ``state`` into ``model``.

    Raises:
        CheckpointError: the checkpoint belongs to another model.
    """
    refuse_other_model(model, state, where)
    model.load_state_dict(state, strict=True)


def refuse_other_model(model: torch.nn.Module, state: dict[str, Any], where: Path) -> None:
    """Compare names and shapes of tensors; those of a model in shards count whole.

    Raises:
        CheckpointError: the checkpoint belongs to another model; names the first that differs.
    """
    ours = model.state_dict()
    for name in [*ours, *state]:
        if name not in state:
            problem = f"it has no {name}"
        elif name not in ours:
            problem = f"this one has no {name}"
        elif ours[name].shape != state[name].shape:
            there, here = tuple(state[name].shape), tuple(ours[name].shape)
            problem = f"{name} has shape {there} in it and {here} in this one"
        else:
            continue
        raise CheckpointError(f"{where} is of another model: {problem}")


def first_line(error: Exception) -> str:
    """The beginning of a long message."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))


def refuse_foreign(state: Any, where: Path) -> None:
    """Refuse what another program, or another part of this one, saved.

    Raises:
        CheckpointError: names what a state to resume from would hold too.
    """
    missing = sorted(STATE_KEYS - set(state if isinstance(state, dict) else ()))
    if missing:
        raise CheckpointError(
            f"{where} is no state of a run to go on from: it holds no {', '.join(missing)}; put "
            "the right file there, or remove it to go back to the one before"
        )


def refuse_other_config(saved: dict[str, Any], asked: dict[str, Any], where: Path) -> None:
    """Refuse to go on in an experiment that was begun with other settings.

    Raises:
        ConfigError: lists every key that differs, with both values.
    """
    changes = [
        f"{key}: was {old!r}, now {new!r}"
        for key, old, new in differences(saved, asked)
        if key not in FREE_KEYS
    ]
    if changes:
        raise ConfigError(
            f"{where} was made with other settings ({'; '.join(changes)}); "
            "restore them, remove that folder, or choose another (--ssl_tag)"
        )
