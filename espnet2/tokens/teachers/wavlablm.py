"""Teacher ``wavlablm``: one layer of a HuBERT model that ESPnet trained with torchaudio.

WavLabLM (EK, MK, MS; arXiv 2309.15317) is such a model, and the teacher of XEUS. The waveform is
taken as it is, without normalisation.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from espnet2.nn.transformer import WaveformTransformer
from espnet2.ssl.checkpoint_files import read_checkpoint
from espnet2.ssl.config import config_beside
from espnet2.tokens.teachers.hubert_config import HubertConfig, build_hubert
from espnet2.tokens.teachers.hubert_keys import load_first_layers
from espnet2.tokens.teachers.network import NetworkTeacher, NetworkTeacherConfig
from espnet2.utils.config import load_yaml
from espnet2.utils.errors import ConfigError
from espnet2.utils.files import sha256_file


@dataclass(frozen=True, kw_only=True)
class WavLabLMTeacherConfig(NetworkTeacherConfig):
    """Settings of the teacher; see ``NetworkTeacherConfig`` too."""

    checkpoint: Path
    """A checkpoint of ESPnet's HubertTask, with its config.yaml beside it."""


class WavLabLMTeacher(NetworkTeacher):
    """Hidden states of one transformer layer; the layers above it are removed."""

    def __init__(self, config: WavLabLMTeacherConfig, device: str = "cpu") -> None:
        """``device``: a torch device.

        Raises:
            ConfigError: no such layer, or a config.yaml that cannot be used.
            CheckpointError: a checkpoint that does not fit it.
        """
        network = cut_network(config)
        super().__init__(network, network.output_size(), config, device, is_exact_in_batch=True)
        self.sha256 = sha256_file(config.checkpoint)

    def layer_output(self, speech: Tensor, lengths: list[int]) -> tuple[Tensor, list[int]]:
        """See ``NetworkTeacher``."""
        return self.network(speech, lengths)

    def identity(self) -> dict[str, Any]:
        """Name, settings and the weights' hash; where the file lies does not matter."""
        return {"teacher": "wavlablm", **self.settings(), "checkpoint_sha256": self.sha256}


def cut_network(config: WavLabLMTeacherConfig) -> WaveformTransformer:
    """The checkpoint's network up to the layer."""
    yaml_path = config_beside(config.checkpoint)
    hubert = HubertConfig.from_espnet(load_yaml(yaml_path), str(yaml_path))
    if not 1 <= config.layer <= hubert.encoder_num_layers:
        raise ConfigError(
            f"tokens: teacher_conf: layer must be 1 to {hubert.encoder_num_layers} for "
            f"{config.checkpoint}, got {config.layer}"
        )
    with torch.device("meta"):
        network = build_hubert(hubert)
    load_first_layers(network, read_checkpoint(config.checkpoint), config.layer)
    return network
