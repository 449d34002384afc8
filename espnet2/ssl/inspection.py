"""What a checkpoint holds, and whether a configuration's model would load it, in lines of text."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor

from espnet2.ssl.checkpoint_files import Checkpoint
from espnet2.ssl.config import SSLModelConfig, load_config
from espnet2.ssl.interop import compare, layout_of, our_names, undrawn_model, why_unusable
from espnet2.utils.errors import CheckpointError
from espnet2.utils.files import sha256_file

KINDS = {
    "zip": "torch file",
    "pickle": "torch file of before 1.6",
    "safetensors": "safetensors file",
}
LAYOUTS = {
    "old": "old (the project page's fork)",
    "new": "new (ESPnet 202412 and later)",
    None: "unknown: neither mask embedding nor convolutional positions",
}
# (part, beginning of its names under our names)
MODEL_PARTS = (
    ("front end", "frontend."),
    ("pre-encoder", "preencoder."),
    ("encoder", "encoder."),
    ("masker", "masker."),
    ("loss head", "losses."),
    ("others", ""),
)
MAX_NAMED = 10  # names of a kind in one line


def file_lines(checkpoint: Checkpoint) -> Iterator[str]:
    """The file itself: size, hash, layout, containers, step. Reads every byte."""
    path = checkpoint.path
    yield f"file        {path}"
    yield f"size        {path.stat().st_size:,} bytes, {KINDS[checkpoint.kind]}"
    yield f"sha256      {sha256_file(path)}"
    yield f"layout      {layout_name(checkpoint)}"
    yield f"container   {' > '.join(checkpoint.containers) or 'none: the tensors stand alone'}"
    if checkpoint.others:
        yield f"beside it   {', '.join(checkpoint.others)}"
    yield f"step        {'not stored' if checkpoint.step is None else checkpoint.step}"


def layout_name(checkpoint: Checkpoint) -> str:
    """Old, new, unknown, or what is mixed."""
    try:
        return LAYOUTS[layout_of(checkpoint.tensors, "it")]
    except CheckpointError as error:
        return f"none: {error}"


def tensor_lines(checkpoint: Checkpoint) -> Iterator[str]:
    """Number, parameters and types of the tensors, in all and by part; the model's sizes."""
    try:
        state = our_names(checkpoint.tensors)
    except CheckpointError:
        state = checkpoint.tensors
    yield f"{'all':<12}{counts(state)}"
    rest = dict(state)
    for part, beginning in MODEL_PARTS:
        inside = {name: rest.pop(name) for name in list(rest) if name.startswith(beginning)}
        if inside:
            yield f"  {part:<10}{counts(inside)}"
    yield f"sizes       {', '.join(sizes(state)) or 'unknown'}"


def counts(state: Mapping[str, Tensor]) -> str:
    """Such as "   12 tensors         1,024 parameters  float32"."""
    types = Counter(str(tensor.dtype).removeprefix("torch.") for tensor in state.values())
    kinds = ", ".join(f"{name} ({number})" if len(types) > 1 else name
                      for name, number in types.items())  # fmt: skip
    total = sum(tensor.numel() for tensor in state.values())
    return f"{len(state):>5,} tensors {total:>13,} parameters  {kinds}"


def sizes(state: Mapping[str, Tensor]) -> Iterator[str]:
    """The sizes of the model that its tensors' shapes tell."""
    norm = state.get("encoder.after_norm.weight")
    if norm is not None and norm.dim() == 1:
        yield f"width {len(norm)}"
    for what, start in (("blocks", "encoder.encoders."), ("convolutions", "frontend.layers.")):
        found = {name.removeprefix(start).split(".")[0] for name in state if name.startswith(start)}
        if found:
            yield f"{len(found)} {what}"
    for name, tensor in state.items():
        is_head = re.fullmatch(r"losses\.\d+\.decoder\.label_embeddings(\.weight)?", name)
        if is_head and tensor.dim() == 2:
            kind = "linear" if name.endswith("weight") else "cosine"
            yield f"{len(tensor)} classes ({kind} head)"


def problems(checkpoint: Checkpoint, yaml_path: Path | None) -> list[str]:
    """Why the checkpoint would not load into the YAML's model, one line each; [] where it would.

    Without a YAML: what is wrong with it for any model.

    Raises ConfigError on a YAML that cannot be used.
    """
    damage = damage_in(checkpoint)
    found = [f"damaged: {damage}"] if damage else []
    try:
        state = our_names(checkpoint.tensors, "it")
    except CheckpointError as error:
        return [*found, str(error)]
    if yaml_path is None:
        return found + [f"{name} {why}" for name in state if (why := why_unusable(state[name]))]
    config = SSLModelConfig.from_espnet(load_config(yaml_path), str(yaml_path))
    fit = compare(undrawn_model(config).state_dict(), state)
    return found + fit.sentences(MAX_NAMED)


def damage_in(checkpoint: Checkpoint) -> str | None:
    """What differs from a torch file's own check sums, which loading does not read."""
    if checkpoint.kind != "zip":
        return None
    try:
        with zipfile.ZipFile(checkpoint.path) as archive:
            record = archive.testzip()
    except (ValueError, RuntimeError, OSError) as error:  # headers that contradict each other
        return f"its parts cannot be told apart ({error})"
    return record and f"{record} does not match its check sum"
