"""Which checkpoints are exported, and their mean as a model."""

from pathlib import Path
from typing import Any

from espnet2.ssl.config import SSLModelConfig, model_keys
from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.ssl.interop import undrawn_model
from espnet2.train.average import average, best_checkpoints, last_checkpoints
from espnet2.train.checkpoint import STEP_FILE, refuse_other_model
from espnet2.train.export.config import ExportConfig


def chosen_checkpoints(exp: Path, settings: ExportConfig) -> list[Path]:
    """The checkpoints to average, by step. Raises CheckpointError where there is none."""
    choose = {"last": last_checkpoints, "best": best_checkpoints}[settings.average]
    return choose(exp, settings.average_last)


def step_of(path: Path) -> int:
    """The step that a checkpoint's name tells."""
    return int(STEP_FILE.fullmatch(path.name)[1])


def averaged_model(trained: dict[str, Any], paths: list[Path]) -> ESPnetSSLModel:
    """The run's model with the mean of the checkpoints' weights, in eval mode.

    Raises CheckpointError where a checkpoint is of another model.
    """
    model = undrawn_model(SSLModelConfig.from_espnet(model_keys(trained)[0], "config.yaml"))
    state = average(paths)
    refuse_other_model(model, state, paths[-1])
    model.load_state_dict(state, assign=True)  # not copied
    return model.eval()
