"""Stage 9: the averaged model in ESPnet's layouts, read back and compared before it counts."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from espnet2.data.index import Index
from espnet2.ssl.config import SSLModelConfig, model_keys
from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.ssl.espnet_yaml import espnet_yaml
from espnet2.ssl.factory import build_model
from espnet2.ssl.interop import load_model, state_dict_as
from espnet2.train.average import average
from espnet2.train.checkpoint import load_model_state, save_tensors, saved_steps, step_path
from espnet2.utils.config import from_dict, load_yaml, save_yaml
from espnet2.utils.errors import CheckpointError, ConfigError
from espnet2.utils.files import sha256_file, write_json
from espnet2.utils.logs import log
from espnet2.utils.provenance import provenance

LAYOUTS = ("old", "new")
MAX_DIFFERENCE = 1e-6  # of any hidden state; the same arithmetic twice differs by 0
LONGEST_CHECK_SAMPLES = 160_000  # ten seconds say as much as forty


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Section ``export`` of the recipe."""

    average_last: int = 5
    """Intermediate checkpoints to average, counted from the last; 1 takes the last alone."""


def export(exp: Path, dump: Path, out: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Write ``config.yaml``, both checkpoints and ``export.json``; returns the latter's content.

    Where and when it was made stands in ``provenance.json``: the hash of ``export.json`` decides
    whether features are computed anew.

    Raises:
        CheckpointError: nothing to export, or a file gave other numbers when read back.
    """
    settings = from_dict(ExportConfig, config, "export")
    steps = saved_steps(exp / "intermediate")[-settings.average_last :]
    if not steps:
        raise CheckpointError(f"{exp}/intermediate holds no checkpoint; run the pretrain stage")
    trained = load_yaml(exp / "config.yaml")
    model = averaged_model(trained, [step_path(exp / "intermediate", step) for step in steps])
    exported = exported_config(trained, model.losses[0].num_classes)
    save_yaml(out / "config.yaml", exported)
    save_new_config(out / "config_new.yaml", exported)
    utt_id, speech = check_utterance(dump)
    files = {}
    for layout in LAYOUTS:
        path = out / f"xeus_checkpoint_{layout}.pth"
        save_tensors(path, state_dict_as(model, layout, global_step=steps[-1]))
        difference = reload_difference(path, model, speech)
        files[path.name] = {"sha256": sha256_file(path), "max_abs_difference": difference}
        log(f"{path}: read back, hidden states differ by {difference:g} on {utt_id}")
    report = {
        "steps": steps,
        "files": files,
        "checked_on": {"utt_id": utt_id, "samples": speech.shape[1]},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    write_json(out / "provenance.json", provenance())
    write_json(out / "export.json", report)
    return report


def averaged_model(trained: dict[str, Any], paths: list[Path]) -> ESPnetSSLModel:
    """The run's model with the mean of the checkpoints' weights, in eval mode."""
    model = build_model(SSLModelConfig.from_espnet(model_keys(trained)[0], "config.yaml"))
    load_model_state(model, average(paths), paths[-1])
    return model.eval()


def exported_config(trained: dict[str, Any], num_classes: int) -> dict[str, Any]:
    """The keys that define the model, and the token list that ESPnet's own loader asks for."""
    model, _ = model_keys(trained)
    tokens = [*map(str, range(num_classes)), "<unk>", "<sos/eos>"]
    return {**model, "token_type": "word", "token_list": tokens, "seed": trained.get("seed", 0)}


def save_new_config(path: Path, exported: dict[str, Any]) -> None:
    """Write ``config.yaml`` as ESPnet from PyPI reads it, or say why there is none."""
    model, rest = model_keys(exported)
    try:
        new = espnet_yaml(SSLModelConfig.from_espnet(model, "config.yaml"))
    except ConfigError as error:
        path.unlink(missing_ok=True)
        log(f"ESPnet from PyPI cannot load this model, {path} is left out: {error}")
        return
    save_yaml(path, {**new, **rest})


def check_utterance(dump: Path) -> tuple[str, Tensor]:
    """Id and samples (1, N) of the first validation utterance, at most ten seconds of it.

    Where nothing was held out, the first one of the training set.
    """
    index = Index.open(dump / "valid")
    if not len(index):
        index = Index.open(dump / "train")
    audio = torch.from_numpy(index.audio(0)[:LONGEST_CHECK_SAMPLES])
    return index.utt_ids[0], audio[None]


@torch.no_grad()
def reload_difference(path: Path, model: ESPnetSSLModel, speech: Tensor) -> float:
    """Largest difference of any hidden state between ``model`` and the files just written.

    Raises:
        CheckpointError: it is above ``MAX_DIFFERENCE``.
    """
    config_path = path.with_name("config.yaml")
    again = load_model(SSLModelConfig.from_espnet(load_yaml(config_path), str(config_path)), path)
    lengths = torch.tensor([speech.shape[1]])
    ours, theirs = (m.eval().encode(speech, lengths).layers for m in (model, again))
    difference = max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))
    if not difference <= MAX_DIFFERENCE:
        raise CheckpointError(f"{path} gives other hidden states when read back: {difference:g}")
    return difference
