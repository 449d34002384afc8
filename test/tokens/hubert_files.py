"""Tiny HuBERT checkpoints with torchaudio's outputs, from ``test/golden/hubert_tiny.npz``."""

import json
from pathlib import Path

import numpy as np
import torch

from espnet2.utils.config import save_yaml

GOLDEN = np.load(Path(__file__).parents[1] / "golden/hubert_tiny.npz")
MODELS = ("large", "base", "mixed")
AUDIO = [GOLDEN["wav0"], GOLDEN["wav1"]]
WHOLE_MODEL = "encoder.hubert_pretrain_model."


def settings(name):
    """encoder_conf of a model."""
    return json.loads(str(GOLDEN[f"{name}/cfg"]))


def tensors(name, prefix=WHOLE_MODEL):
    """Torchaudio's state dict, as ESPnet spells it."""
    inside = f"{name}/sd/"
    state = {
        prefix + key.removeprefix(inside): torch.from_numpy(GOLDEN[key])
        for key in GOLDEN.files
        if key.startswith(inside)
    }
    return {"encoder.global_step": torch.tensor([0]), **state} if prefix == WHOLE_MODEL else state


def expected(name, layer):
    """Torchaudio's layer, counted from 1, of each utterance alone."""
    return [GOLDEN[f"{name}/wav{i}/layer{layer}"] for i in range(len(AUDIO))]


def yaml_of(name, **changes):
    """The keys of ESPnet's config.yaml that matter, and some that do not."""
    return {
        "encoder": "torchaudio_hubert",
        "encoder_conf": {**settings(name), "mask_prob": 0.8, "final_dim": 6},
        "model": "torchaudio",
        "input_size": 1,
        "frontend": None,
        "normalize": None,
        "num_classes": 5,
        "max_epoch": 250,
        **changes,
    }


def save(folder, state, config):
    """Checkpoint and config.yaml in ``folder``; returns the checkpoint's path."""
    save_yaml(folder / "config.yaml", config)
    torch.save(state, folder / "model.pth")
    return folder / "model.pth"
