"""Checkpoints in and out: two released layouts, several containers, one strict loader.

Our own parameter names are the *old* layout (the fork the project page names). The *new* layout
(ESPnet >= 202412) renames four tensors and adds a step counter.
"""

from __future__ import annotations

import difflib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from espnet2.utils.errors import CheckpointError
from espnet2.utils.logs import log

# (name in the old layout, name in the new layout)
RENAMED_KEYS = (
    ("masker.mask_embedding", "util_modules.mask.mask_embedding"),
    ("encoder.embed.{i}.conv.bias", "encoder.embed.{i}.convs.0.bias"),
    (
        "encoder.embed.{i}.conv.weight_g",
        "encoder.embed.{i}.convs.0.parametrizations.weight.original0",
    ),
    (
        "encoder.embed.{i}.conv.weight_v",
        "encoder.embed.{i}.convs.0.parametrizations.weight.original1",
    ),
)
# Torch's parametrised spelling of weight norm under the old module name.
PARAMETRIZED_KEYS = tuple(
    (
        f"encoder.embed.{{i}}.conv.weight_{ours}",
        f"encoder.embed.{{i}}.conv.parametrizations.weight.{torchs}",
    )
    for ours, torchs in (("g", "original0"), ("v", "original1"))
)
IGNORED_KEYS = ("global_step",)  # the new layout's step counter, a buffer
CONTAINERS = ("model", "module", "state_dict")
PREFIXES = ("module.", "_orig_mod.", "model.")
MAX_NAMED = 3  # keys named in a report before "and n more"


def load_weights(model: nn.Module, path: Path | str, allow_partial: bool = False) -> None:
    """Fill ``model`` from a checkpoint of either layout; every key must match.

    ``allow_partial``: keys may be missing or unknown (logged); shapes must still agree and at
    least one key must match.

    Raises:
        CheckpointError: an unreadable or unsafe file, or keys that differ (one line names them).
    """
    state = our_names(unwrap(read_file(Path(path)), path))
    problems, fatal = compare(model.state_dict(), state)
    if problems and (fatal or not allow_partial):
        raise CheckpointError(f"{path} does not fit the model: {'; '.join(problems)}")
    if problems:
        log(f"{path} was loaded in part: {'; '.join(problems)}")
    model.load_state_dict(state, strict=False)


def read_file(path: Path) -> object:
    """What a .safetensors or torch file holds; only tensors and plain containers are read."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} cannot be read: it is damaged or holds more than tensors, which is refused "
            "because loading it would run its code"
        ) from error
    except (RuntimeError, EOFError, SafetensorError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is not a readable checkpoint: {reason}") from error


def unwrap(content: object, path: Path | str) -> dict[str, Tensor]:
    """The tensors inside the containers and prefixes that training tools add."""
    while isinstance(content, Mapping):
        inner = [key for key in CONTAINERS if isinstance(content.get(key), Mapping)]
        if not inner:
            break
        content = content[inner[0]]
    is_state = isinstance(content, Mapping) and content
    if not is_state or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(f"{path} holds no state dict (a mapping of names to tensors)")
    state = dict(content)
    while prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def our_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict under our names, whichever layout it came in."""
    table = (*RENAMED_KEYS, *PARAMETRIZED_KEYS)
    kept = {key: value for key, value in state.items() if key not in IGNORED_KEYS}
    return {rename(key, [(theirs, ours) for ours, theirs in table]): v for key, v in kept.items()}


def rename(key: str, table) -> str:
    """``key`` by a table of (from, to) names in which {i} stands for a number."""
    for source, target in table:
        pattern = re.escape(source).replace(r"\{i\}", r"(\d+)")
        if match := re.fullmatch(pattern, key):
            return target.replace("{i}", match[1]) if match.groups() else target
    return key


def compare(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> tuple[list[str], bool]:
    """What differs, in sentences; and whether even a partial load must refuse it."""
    missing = [key for key in wanted if key not in found]
    unknown = [key for key in found if key not in wanted]
    misshapen = [
        f"{key} is {tuple(found[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in wanted
        if key in found and found[key].shape != wanted[key].shape
    ]
    problems = []
    if missing:
        problems.append(f"missing {len(missing)}: {some(missing)}")
    if unknown:
        problems.append(
            f"unknown {len(unknown)}: {some([with_guess(k, missing) for k in unknown])}"
        )
    if misshapen:
        problems.append(f"wrong shape {len(misshapen)}: {some(misshapen)}")
    return problems, bool(misshapen) or len(missing) == len(wanted)


def some(names: list[str]) -> str:
    """The first few names and how many more there are."""
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def with_guess(key: str, missing: list[str]) -> str:
    """``key``, and the missing name it may have been meant for."""
    near = difflib.get_close_matches(key, missing, n=1, cutoff=0.8)
    return f"{key} (meant {near[0]}?)" if near else key


def state_dict_as(
    model: nn.Module, layout: Literal["old", "new"] = "old", global_step: int = 0
) -> dict[str, Tensor]:
    """The model's state dict in a released layout, detached, on the CPU."""
    state = {key: value.detach().cpu() for key, value in model.state_dict().items()}
    if layout == "old":
        return state
    renamed = {rename(key, RENAMED_KEYS): value for key, value in state.items()}
    return {"global_step": torch.tensor([global_step]), **renamed}
