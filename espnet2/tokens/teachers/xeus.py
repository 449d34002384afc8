"""Teacher ``xeus``: one layer of any model that ``SSLTask`` loads (second iterations)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from espnet2.nn.padding import padding_for
from espnet2.ssl.config import SSLModelConfig, config_beside
from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.ssl.interop import load_model
from espnet2.tokens.teachers.network import NetworkTeacher, NetworkTeacherConfig
from espnet2.utils.config import load_yaml
from espnet2.utils.errors import ConfigError
from espnet2.utils.files import sha256_file


@dataclass(frozen=True, kw_only=True)
class XeusTeacherConfig(NetworkTeacherConfig):
    """Settings of the teacher; see ``NetworkTeacherConfig`` too."""

    checkpoint: Path
    """A checkpoint of either released layout, with its config.yaml beside it."""


class XeusTeacher(NetworkTeacher):
    """Hidden states of one E-Branchformer block; the blocks above it are removed."""

    def __init__(self, config: XeusTeacherConfig, device: str = "cpu") -> None:
        """``device``: a torch device.

        Raises:
            ConfigError: no such layer, or a config.yaml that cannot be used.
            CheckpointError: a checkpoint that does not fit it.
        """
        model = cut_model(config)
        super().__init__(model, model.encoder.output_size(), config, device, is_exact_in_batch=True)
        self.sha256 = sha256_file(config.checkpoint)

    def layer_output(self, speech: Tensor, lengths: list[int]) -> tuple[Tensor, list[int]]:
        """See ``NetworkTeacher``."""
        feats, frames = self.network.frontend(speech, lengths)
        padding = padding_for(frames, feats.shape[1], feats.device)
        x = self.network.project(feats, padding)
        return self.network.states(x, padding, use_final_output=False)[-1], frames

    def identity(self) -> dict[str, Any]:
        """Name, settings and the weights' hash; where the file lies does not matter."""
        return {"teacher": "xeus", **self.settings(), "checkpoint_sha256": self.sha256}


def cut_model(config: XeusTeacherConfig) -> ESPnetSSLModel:
    """The checkpoint's model with the blocks above the layer left out."""
    yaml_path = config_beside(config.checkpoint)
    model_config = SSLModelConfig.from_espnet(load_yaml(yaml_path), str(yaml_path))
    model = load_model(model_config, config.checkpoint)
    blocks = model.encoder.encoders
    if not 1 <= config.layer <= len(blocks):
        raise ConfigError(
            f"tokens: teacher_conf: layer must be 1 to {len(blocks)} for {config.checkpoint}, "
            f"got {config.layer}"
        )
    model.encoder.encoders = nn.ModuleList(list(blocks)[: config.layer])
    return model
