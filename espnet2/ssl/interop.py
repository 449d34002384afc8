"""Checkpoints in and out: two released layouts, one strict loader.

Our own parameter names are the *old* layout (the fork the project page names). The *new* layout
(ESPnet >= 202412) renames four tensors and adds a step counter.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from espnet2.ssl.checkpoint_files import Checkpoint, read_checkpoint
from espnet2.ssl.config import SSLModelConfig
from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.ssl.factory import build_model
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
# Either layout may spell weight norm as torch's other version does: (our name, spelling).
OLD_SPELLINGS = tuple(
    (
        f"encoder.embed.{{i}}.conv.weight_{ours}",
        f"encoder.embed.{{i}}.conv.parametrizations.weight.{torchs}",
    )
    for ours, torchs in (("g", "original0"), ("v", "original1"))
)
NEW_SPELLINGS = tuple(
    (f"encoder.embed.{{i}}.conv.weight_{part}", f"encoder.embed.{{i}}.convs.0.weight_{part}")
    for part in "gv"
)
IGNORED_KEYS = ("global_step",)  # the new layout's step counter, a buffer
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
MAX_NAMED = 3  # keys named in a report before "and n more"

Layout = Literal["old", "new"]


@dataclass(frozen=True)
class Fit:
    """How a checkpoint's tensors lie against a model's."""

    missing: list[str]  # names the model has and the file has not
    unknown: list[str]  # names the file has and the model has not
    misshapen: list[str]  # sentences: shapes that differ
    unusable: list[str]  # sentences: no floating-point numbers, or not finite
    num_wanted: int  # tensors of the model

    @property
    def is_exact(self) -> bool:
        """Whether every tensor has its place and every place its tensor."""
        return not (self.missing or self.unknown or self.is_wrong)

    @property
    def is_wrong(self) -> bool:
        """Whether even a partial load must refuse the file."""
        nothing_fits = len(self.missing) == self.num_wanted
        return bool(self.misshapen or self.unusable) or nothing_fits

    def sentences(self, most: int = MAX_NAMED) -> list[str]:
        """What differs, at most ``most`` names of a kind."""
        parts = []
        if self.missing:
            parts.append(f"missing {len(self.missing)}: {some(self.missing, most)}")
        if self.unknown:
            named = [with_guess(key, self.missing) for key in self.unknown[:most]]
            parts.append(
                f"unknown {len(self.unknown)}: {some([*named, *self.unknown[most:]], most)}"
            )
        if self.misshapen:
            parts.append(f"wrong shape {len(self.misshapen)}: {some(self.misshapen, most)}")
        if self.unusable:
            parts.append(f"unusable {len(self.unusable)}: {some(self.unusable, most)}")
        return parts


def load_model(
    config: SSLModelConfig,
    path: Path | str,
    device: torch.device | str = "cpu",
    allow_partial: bool = False,
) -> ESPnetSSLModel:
    """The model of ``config`` with a checkpoint's weights of either layout, in eval mode.

    Every key must match; floating-point numbers of any width become the model's.
    ``allow_partial``: keys may be missing (they are initialised) or unknown (they are left out),
    and the log names each; shapes must still agree, and one key must match. No weight is drawn that
    the file will replace, and each tensor of the file, which is mapped, is copied once.

    Raises:
        ConfigError: parts that do not fit each other.
        CheckpointError: an unreadable or unsafe file, or keys that differ (one line names them).
    """
    model = undrawn_model(config)
    wanted = model.state_dict()
    state, fit = fitting(wanted, read_checkpoint(path), allow_partial)
    if fit.missing:
        model = build_model(config)
    own = {
        name: torch.empty(tensor.shape, dtype=wanted[name].dtype, device=device).copy_(tensor)
        for name, tensor in state.items()
    }
    model.load_state_dict(own, strict=False, assign=True)
    return model.to(device).eval()


def undrawn_model(config: SSLModelConfig) -> ESPnetSSLModel:
    """A model with names and shapes, but no initial weights: their memory is never touched.

    Torch's generator stays as it was.
    """
    with torch.random.fork_rng(devices=[]), WithoutDrawing():
        return build_model(replace(config, init=None))


class WithoutDrawing(TorchFunctionMode):
    """Inside it, the functions of ``torch.nn.init`` that draw weights leave them as they are."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def fitting(
    wanted: Mapping[str, Tensor], checkpoint: Checkpoint, allow_partial: bool
) -> tuple[dict[str, Tensor], Fit]:
    """The checkpoint's tensors that the model wants, under its names, and how they fit.

    Raises CheckpointError where they do not.
    """
    path = checkpoint.path
    found = our_names(checkpoint.tensors, str(path))
    fit = compare(wanted, found)
    if fit.is_wrong or not (fit.is_exact or allow_partial):
        raise CheckpointError(
            f"{path} does not fit the model: {'; '.join(fit.sentences())}; for more, see "
            f"python3 -m espnet2.bin.inspect_checkpoint {path}"
        )
    if not fit.is_exact:
        everything = fit.sentences(most=len(wanted) + len(found))
        log(f"{path} was loaded in part: {'; '.join(everything)}")
    return {name: tensor for name, tensor in found.items() if name in wanted}, fit


def layout_of(names: Iterable[str], where: str = "checkpoint") -> Layout | None:
    """Which layout the names are in; None where no name tells.

    Raises CheckpointError where some are of one and some of the other.
    """
    old = [pair[0] for pair in RENAMED_KEYS] + [pair[1] for pair in OLD_SPELLINGS]
    new = [pair[1] for pair in (*RENAMED_KEYS, *NEW_SPELLINGS)]
    names = list(names)
    olds, news = ([name for name in names if is_in(name, keys)] for keys in (old, new))
    if olds and news:
        raise CheckpointError(
            f"{where} mixes the old key layout ({olds[0]}) and the new one ({news[0]}): save all "
            "of it from one model"
        )
    return "old" if olds else "new" if news else None


def our_names(state: Mapping[str, Tensor], where: str = "checkpoint") -> dict[str, Tensor]:
    """The state dict under our names, whichever layout it came in.

    Raises CheckpointError where it mixes the layouts or holds a tensor twice.
    """
    layout_of(state, where)
    table = [(key, ours) for ours, key in (*RENAMED_KEYS, *OLD_SPELLINGS, *NEW_SPELLINGS)]
    renamed = {}
    for key, value in state.items():
        name = rename(key, table)
        if name in renamed:
            raise CheckpointError(f"{where} holds {name} twice, once as {key}")
        if key not in IGNORED_KEYS:
            renamed[name] = value
    return renamed


def pattern(name: str) -> str:
    """The regular expression of a name in which {i} stands for a number."""
    return re.escape(name).replace(r"\{i\}", r"(\d+)")


def is_in(key: str, names: Iterable[str]) -> bool:
    """Whether ``key`` is one of the names, in which {i} stands for a number."""
    return any(re.fullmatch(pattern(name), key) for name in names)


def rename(key: str, table: Iterable[tuple[str, str]]) -> str:
    """``key`` by a table of (from, to) names in which {i} stands for a number."""
    for source, target in table:
        if match := re.fullmatch(pattern(source), key):
            return target.replace("{i}", match[1]) if match.groups() else target
    return key


def compare(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> Fit:
    """Names, shapes and values of ``found`` against the model's."""
    both = [key for key in wanted if key in found]
    misshapen = [key for key in both if found[key].shape != wanted[key].shape]
    unusable = {key: why_unusable(found[key]) for key in both if key not in misshapen}
    return Fit(
        missing=[key for key in wanted if key not in found],
        unknown=[key for key in found if key not in wanted],
        misshapen=[
            f"{key} is {tuple(found[key].shape)} instead of {tuple(wanted[key].shape)}"
            for key in misshapen
        ],
        unusable=[f"{key} {why}" for key, why in unusable.items() if why],
        num_wanted=len(wanted),
    )


def why_unusable(tensor: Tensor) -> str | None:
    """Why a tensor cannot be a weight; None where it can."""
    if tensor.dtype not in FLOATS:
        return f"is {str(tensor.dtype).removeprefix('torch.')}, not floating point"
    if tensor.is_meta or tensor.layout != torch.strided:
        return "is not a plain tensor"
    # The sum of finite numbers is finite unless it overflows, and ten times as fast to look at.
    if not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
        return "holds NaN or infinite values"
    return None


def some(names: list[str], most: int = MAX_NAMED) -> str:
    """The first few names and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def with_guess(key: str, missing: list[str]) -> str:
    """``key``, and the missing name it may have been meant for."""
    near = difflib.get_close_matches(key, missing, n=1, cutoff=0.8)
    return f"{key} (meant {near[0]}?)" if near else key


def state_dict_as(
    model: nn.Module, layout: Layout = "old", global_step: int = 0
) -> dict[str, Tensor]:
    """The model's state dict in a released layout, detached, on the CPU."""
    state = {key: value.detach().cpu() for key, value in model.state_dict().items()}
    if layout == "old":
        return state
    renamed = {rename(key, RENAMED_KEYS): value for key, value in state.items()}
    return {"global_step": torch.tensor([global_step]), **renamed}
