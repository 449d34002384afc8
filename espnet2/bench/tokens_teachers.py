"""Small teachers for ``bench tokens``, saved as checkpoints.

The networks have random weights: their labels mean nothing, but cost as much as any.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from espnet2.bench.sizes import STRIDES, Size, model_config
from espnet2.ssl.config import SSLModelConfig
from espnet2.ssl.factory import build_model
from espnet2.ssl.interop import state_dict_as
from espnet2.tokens.teachers.hubert_config import ENCODER, HubertConfig, build_hubert
from espnet2.tokens.teachers.hubert_keys import FINAL_NORM, LAYOUTS, torchaudio_name
from espnet2.train.checkpoint import save_tensors
from espnet2.utils.config import save_yaml

LAYER_SHARE = 0.75  # of the layers, up to the one that is clustered: 6 of 8
NETWORK = Size(
    batch=1, audio_s=10, width=256, blocks=8, units=1024, channels=128, classes=100,
    masks=1, mask_frames=1,
)  # fmt: skip
TINY_NETWORK = Size(
    batch=1, audio_s=1, width=32, blocks=4, units=32, channels=16, classes=16,
    masks=1, mask_frames=1,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class BenchTeacher:
    """A teacher, and how it is called in a table."""

    name: str
    """As in the section ``tokens``."""

    conf: dict[str, Any]
    """Its ``teacher_conf``."""

    clusters: int
    """Size of its codebook."""

    title: str
    """What it is, in a few words."""

    def section(self, **more: Any) -> dict[str, Any]:
        """The section ``tokens`` of a recipe."""
        return {
            "teacher": self.name, "teacher_conf": self.conf, "num_clusters": self.clusters,
            "max_dead_ratio": 1.0, **more,
        }  # fmt: skip


def size_of(is_tiny: bool) -> Size:
    """The networks' size."""
    return TINY_NETWORK if is_tiny else NETWORK


def mfcc() -> BenchTeacher:
    """What the first iteration of HuBERT labels with."""
    return BenchTeacher(name="mfcc", conf={}, clusters=100, title="MFCC")


def e_branchformer(folder: Path, size: Size) -> BenchTeacher:
    """An E-Branchformer under ``folder``, in the layout of ESPnet's SSLTask."""
    config = model_config(size)
    torch.manual_seed(0)
    model = build_model(SSLModelConfig.from_espnet(config))
    checkpoint = save(folder, config, state_dict_as(model, "new"))
    return network_teacher("xeus", checkpoint, size, "E-Branchformer")


def hubert(folder: Path, size: Size) -> BenchTeacher:
    """A HuBERT with WavLabLM's order of norms under ``folder``, in the layout of HubertTask."""
    config, (prefix, _) = hubert_config(size), LAYOUTS[0]
    torch.manual_seed(0)
    model = build_hubert(HubertConfig.from_espnet(config, "bench tokens"))
    state = {torchaudio_name(name): value for name, value in model.state_dict().items()}
    # No layer's output passes the last norm, so our network has none; ESPnet's asks for it.
    state[f"{FINAL_NORM}weight"], state[f"{FINAL_NORM}bias"] = (
        torch.ones(size.width), torch.zeros(size.width),
    )  # fmt: skip
    checkpoint = save(folder, config, {prefix + name: value for name, value in state.items()})
    return network_teacher("wavlablm", checkpoint, size, "HuBERT")


def hubert_config(size: Size) -> dict[str, Any]:
    """Keys of ESPnet's HubertTask, all that it needs to build the model."""
    return {
        "token_list": [str(label) for label in range(size.classes)],
        "num_classes": size.classes,
        "input_size": 1,
        "init": None,
        "frontend": None,
        "frontend_conf": {},
        "specaug": None,
        "normalize": None,
        "preencoder": None,
        "encoder": ENCODER,
        "encoder_conf": {
            "extractor_mode": "layer_norm",
            "extractor_conv_layer_config": [[size.channels, *shape] for shape in STRIDES],
            "extractor_conv_bias": False,
            "encoder_embed_dim": size.width,
            "encoder_num_layers": size.blocks,
            "encoder_num_heads": size.heads,
            "encoder_ff_interm_features": size.units,
            "encoder_layer_norm_first": True,
            "final_dim": size.width,
        },
        "model": "torchaudio",
        "model_conf": {},
    }


def save(folder: Path, config: dict[str, Any], state: dict[str, torch.Tensor]) -> Path:
    """Checkpoint and config.yaml; returns the checkpoint."""
    folder.mkdir(parents=True)
    save_yaml(folder / "config.yaml", config)
    save_tensors(folder / "model.pth", state)
    return folder / "model.pth"


def network_teacher(name: str, checkpoint: Path, size: Size, kind: str) -> BenchTeacher:
    """The teacher that reads a checkpoint of ``size``."""
    layer = int(LAYER_SHARE * size.blocks)
    return BenchTeacher(
        name=name,
        conf={"checkpoint": str(checkpoint), "layer": layer},
        clusters=size.classes,
        title=f"{kind}, width {size.width}, layer {layer} of {size.blocks}",
    )
