"""The intermediate checkpoints of a run: found, told apart, read; cut ones are passed over."""

import dataclasses
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from espnet2.data.labels import read_info
from espnet2.ssl.config import SSLModelConfig, model_keys
from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.ssl.factory import build_model
from espnet2.train.checkpoint import load_tensors, saved_steps, step_path
from espnet2.utils.errors import CheckpointError, ConfigError, DataError
from espnet2.utils.files import read_json, sha256_text
from espnet2.utils.logs import log


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A file whose directory of records can be read."""

    step: int
    path: Path
    fingerprint: str  # of names, sizes and check sums of the records: of the content, but at once

    def read(self) -> dict[str, Any]:
        """What it holds, mapped from the disk; the model's tensors are ``["model"]``.

        Raises:
            CheckpointError: it is damaged, or holds no model.
        """
        content = load_tensors(self.path)
        if not isinstance(content, dict) or "model" not in content:
            raise CheckpointError(f"{self.path} holds no model of this program's pre-training")
        return content


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What there is to study of an experiment."""

    exp: Path
    checkpoints: list[Checkpoint]  # ascending
    reference: Checkpoint  # what all are compared with
    config: dict[str, Any]  # the settings that the reference was trained with
    skipped: list[str]  # paths of files that were cut or damaged


def open_run(exp: Path, every: int, reference: int | None) -> Run:
    """Checkpoints of ``exp``: the first and every ``every``-th after it, and the reference.

    ``reference``: its step; None takes the last that can be read.

    Raises:
        CheckpointError: nothing to study, or no such reference.
    """
    folder = exp / "intermediate"
    found = {step: known(step_path(folder, step), step) for step in saved_steps(folder)}
    if not found:
        raise CheckpointError(
            f"{folder} holds no checkpoint; run the pretrain stage "
            "(pretrain.intermediate_interval_steps says how often it keeps one)"
        )
    skipped = [str(step_path(folder, step)) for step, one in found.items() if one is None]
    whole = {step: one for step, one in found.items() if one is not None}
    if reference is not None and reference not in whole:
        raise CheckpointError(
            f"{step_path(folder, reference)}: no checkpoint that can be read; --reference takes "
            f"the step of one, such as {max(whole, default='none')}"
        )
    steps = [reference] if reference is not None else sorted(whole, reverse=True)
    for step in steps:
        content = content_or_none(whole[step], skipped)
        if content is not None:
            break
    else:
        which = "every checkpoint" if reference is None else f"that of step {reference}"
        raise CheckpointError(f"{folder}: {which} is cut or damaged; there is nothing to compare")
    steps = sorted({*list(whole)[::every], step})
    return Run(
        exp=exp, reference=whole[step], config=content.get("config") or {}, skipped=skipped,
        checkpoints=[whole[step] for step in steps if str(whole[step].path) not in skipped],
    )  # fmt: skip


def known(path: Path, step: int) -> Checkpoint | None:
    """The checkpoint, or None, with a line, where its end is missing."""
    try:
        with zipfile.ZipFile(path) as archive:
            records = [(one.filename, one.file_size, one.CRC) for one in archive.infolist()]
    except zipfile.BadZipFile:
        log(f"{path} is cut or damaged; left out")
        return None
    return Checkpoint(step=step, path=path, fingerprint=sha256_text(json.dumps(records)))


def content_or_none(checkpoint: Checkpoint, skipped: list[str]) -> dict[str, Any] | None:
    """What it holds, or None where it is damaged: that is said, and noted in ``skipped``."""
    try:
        return checkpoint.read()
    except CheckpointError as error:
        log(f"{error}; left out")
        skipped.append(str(checkpoint.path))
        return None


def check_labels(run: Run, dump: Path, tag: str) -> None:
    """Refuse labels and data that the run was not trained with.

    Raises:
        CheckpointError: the checkpoints do not say what they were trained with.
        ConfigError: labels of another codebook.
        DataError: no labels ``tag``; or another training set, so that what is held out may be what
            the run was trained on.
    """
    folder = dump / "valid" / "labels" / tag
    trained, given = run.config.get("labels"), read_info(folder).codebook_sha256
    if not trained:
        raise CheckpointError(f"{run.reference.path} does not say which labels it was trained on")
    if trained["codebook_sha256"] != given:
        raise ConfigError(
            f"{folder}: labels of codebook {given[:12]}, but {run.exp} was trained on those of "
            f"{trained['codebook_sha256'][:12]}; give the --labels_tag of its labels, or run the "
            "label stage with its codebook"
        )
    index = dump / "train" / "index.json"
    if index.is_file() and read_json(index).get("fingerprint") != trained["index_sha256"]:
        raise DataError(
            f"{index.parent} is not the set that {run.exp} was trained on; give its --dump"
        )


def empty_model(run: Run) -> ESPnetSSLModel:
    """The run's model, for weights to be loaded into, masking as its last phase did."""
    where = str(run.reference.path)
    model = build_model(SSLModelConfig.from_espnet(model_keys(run.config)[0], where))
    if not model.losses:
        raise CheckpointError(f"{where}: a model without a loss predicts nothing")
    phases = run.config.get("phases") or [{}]
    model.set_phase(mask_prob=phases[-1].get("mask_prob"))
    return model.eval()


def part_of(name: str) -> str:
    """The part of the model that a tensor belongs to: ``block 3``, or its module's name."""
    names = name.split(".")
    if names[:2] == ["encoder", "encoders"]:
        return f"block {int(names[2]) + 1}"
    return names[0]


def part_order(part: str) -> tuple[bool, int, str]:
    """A key that sorts parts: blocks by their number, then the others."""
    is_block = part.startswith("block ")
    return not is_block, int(part.split()[1]) if is_block else 0, part


def weight_norms(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, float]:
    """L2 norm of each part of a model, from its named tensors; counters do not count."""
    squares: dict[str, float] = {}
    for name, tensor in tensors:
        if tensor.is_floating_point():
            part = part_of(name)
            squares[part] = squares.get(part, 0.0) + float(tensor.double().square().sum())
    return {part: square**0.5 for part, square in squares.items()}


def weight_changes(state: dict[str, Tensor], before: dict[str, Tensor]) -> dict[str, float]:
    """L2 norm of the difference of each part's weights over their norm before."""
    norms = weight_norms(before.items())
    floats = (name for name, tensor in before.items() if tensor.is_floating_point())
    moved = weight_norms((name, state[name] - before[name]) for name in floats)
    return {part: moved[part] / norm for part, norm in norms.items() if norm}
