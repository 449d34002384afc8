"""Teacher ``xeus``: one layer of any model that ``SSLTask`` loads (second iterations).

The network is cut at the chosen layer. Utterances go through it one by one in fp32, so an
utterance's frames are bit-equal whatever else is labelled; ``batch_seconds`` bounds nothing here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from espnet2.data.frames import RECEPTIVE_SAMPLES
from espnet2.ssl.config import SSLModelConfig, config_beside
from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.ssl.interop import load_model
from espnet2.tokens.teachers.base import Frames, pack
from espnet2.utils.config import load_yaml
from espnet2.utils.errors import ConfigError
from espnet2.utils.files import sha256_file


@dataclass(frozen=True, kw_only=True)
class XeusTeacherConfig:
    """Settings of the teacher."""

    checkpoint: Path
    """A checkpoint of either released layout, with its config.yaml beside it."""

    layer: int
    """Block whose raw output (before the final norm) is clustered, counted from 1."""


class XeusTeacher:
    """Hidden states of one E-Branchformer block."""

    def __init__(self, config: XeusTeacherConfig, device: str = "cpu") -> None:
        """``device``: a torch device.

        Raises:
            ConfigError: no such layer, or a config.yaml that cannot be used.
            CheckpointError: a checkpoint that does not fit it.
        """
        self.config, self.device = config, torch.device(device)
        self.model = cut_model(config).to(self.device).eval()
        self.dim = self.model.encoder.output_size()
        self.sha256 = sha256_file(config.checkpoint)

    @torch.inference_mode()
    def frames(self, audio: list[np.ndarray]) -> Frames:
        """Frames of a batch of signals (S,); see ``Teacher``."""
        return pack([self.utterance(signal) for signal in audio], self.dim)

    def utterance(self, signal: np.ndarray) -> np.ndarray:
        """(S,) in ±1 -> (T, D) float32; nothing for fewer than 400 samples."""
        if len(signal) < RECEPTIVE_SAMPLES:
            return np.zeros((0, self.dim), dtype=np.float32)
        speech = torch.from_numpy(signal).to(self.device)[None]  # (1, S)
        out = self.model.encode(
            speech, torch.tensor([len(signal)]), use_mask=False, use_final_output=False
        )
        return out.layers[-1][0].float().cpu().numpy()

    def identity(self) -> dict[str, Any]:
        """Name, layer and the weights' hash; where the file lies does not matter."""
        return {"teacher": "xeus", "layer": self.config.layer, "checkpoint_sha256": self.sha256}


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
