"""Folders of real small models: tiny reference models in either layout, and a trained cell."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file
from transformers.utils import logging

from espnet2.train.export.hf_folder import save_folder
from espnet2.utils.files import write_text

GOLDEN = Path(__file__).parents[1] / "golden"
SPEC = importlib.util.spec_from_file_location(
    "tiny_asr_for_hf", Path(__file__).parents[1] / "asr" / "tiny_asr.py"
)
tiny_asr = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny_asr)
logging.disable_progress_bar()

CARD = "---\nlicense: cc-by-4.0\n---\n\n# tiny\n"


def tiny(layout):
    """Configuration and weights of the tiny reference model."""
    arrays = np.load(GOLDEN / f"xeus_tiny_{layout}.npz")
    state = {
        name.removeprefix("xeus/sd/"): torch.from_numpy(arrays[name])
        for name in arrays.files
        if name.startswith("xeus/sd/")
    }
    return json.loads(str(arrays["xeus/cfg"])), state


@pytest.fixture
def golden():
    """``tiny``."""
    return tiny


@pytest.fixture
def folder(tmp_path):
    """The tiny reference model as stage 9 writes a Hugging Face folder."""
    config, state = tiny("old")
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    save_folder(tmp_path / "hf", config, tmp_path / "model.safetensors")
    write_text(tmp_path / "hf/README.md", CARD)
    return tmp_path / "hf"


@pytest.fixture(scope="session")
def tones(tmp_path_factory):
    """Root of tiny data with a trained cell on a frozen encoder, and its folder."""
    root = tmp_path_factory.mktemp("tones")
    return root, tiny_asr.train(root, tiny_asr.CELL)


@pytest.fixture
def train_cell():
    """``train`` and the cell that others are made of."""
    return tiny_asr.train, tiny_asr.CELL


@pytest.fixture
def waves(tones):
    """Audio of the cell's test split: lengths differ."""
    paths = sorted(tones[0].glob("dump/10min/test/wav/*"))
    return [soundfile.read(path, dtype="float32")[0] for path in paths]
