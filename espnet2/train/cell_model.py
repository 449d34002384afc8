"""A trained cell: its configuration, and its model, a probe alone or behind its encoder.

``model.pth`` holds the probe under ``model`` and, of an encoder that was tuned, what has changed
under ``encoder``.
"""

from pathlib import Path
from typing import Any

import torch

from espnet2.asr.cell_data import CellData
from espnet2.asr.config import ProbeConfig
from espnet2.asr.ctc_model import CTCModel
from espnet2.asr.encoders import build_network
from espnet2.asr.tuned_model import TunedModel
from espnet2.train.cells import CellConfig
from espnet2.train.checkpoint import load_tensors
from espnet2.utils.config import from_dict, load_yaml
from espnet2.utils.errors import CheckpointError, ConfigError
from espnet2.utils.seeding import seed_for


def read_cell(path: Path) -> tuple[dict[str, Any], CellConfig]:
    """A cell's config.yaml, and the section ``cell`` of it.

    Raises:
        ConfigError: it is none.
    """
    saved = load_yaml(path)
    missing = {"cell", "data", "model"} - saved.keys()
    if missing:
        raise ConfigError(f"{path}: {min(missing)} is required in a cell's configuration")
    return saved, from_dict(CellConfig, saved["cell"], f"{path}: cell")


def build_probe(probe: ProbeConfig, sizes: dict[str, int], seed: int) -> CTCModel:
    """The probe with its first weights, a function of the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "probe"))
        return CTCModel(probe, **sizes)


def on_audio(probe: CTCModel, cell: CellConfig, export: Path | None) -> TunedModel:
    """The probe behind the cell's encoder, as that was before any tuning.

    Raises:
        ConfigError: the encoder is not there any more.
        CheckpointError: its weights are damaged or of another model.
    """
    is_there = cell.encoder.path is not None or export is None or export.is_dir()
    if cell.encoder.kind in ("export", "random") and not is_there:
        raise ConfigError(
            f"the encoder of {cell.name} was {export}, which is not there; put it back, or change "
            "data.export in the cell's config.yaml"
        )
    network = build_network(cell.encoder, export)
    return TunedModel(network, probe, cell.tune, cell.features, cell.seed)


def trained_model(
    folder: Path, cell: CellConfig, sizes: dict[str, Any], export: Path | None
) -> CTCModel | TunedModel:
    """What ``folder/model.pth`` holds: a probe, or one behind the encoder that it changed.

    Raises:
        CheckpointError: the file is damaged or of another model.
        ConfigError: the encoder is not there any more.
    """
    path = folder / "model.pth"
    saved = load_tensors(path)
    model = CTCModel(cell.probe, **sizes)
    try:
        if cell.tune.encoder != "frozen":
            model = on_audio(model, cell, export)
            model.load_kept(saved)
        else:
            model.load_state_dict(saved["model"], strict=True)
    except (CheckpointError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path} does not fit its config.yaml: {reason}") from None
    return model.eval()


def for_split(
    model: CTCModel | TunedModel, cell: CellConfig, source: CellData, split: str
) -> CTCModel | TunedModel:
    """The model for a split: behind the frozen encoder where features are not stored."""
    if isinstance(model, TunedModel) or not source.is_live(split):
        return model
    return on_audio(model, cell, source.export).eval().to(source.device)
