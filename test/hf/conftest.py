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

from espnet2.asr.config import BatchConfig, EncoderSpec, FeatureConfig, ProbeConfig, TuneConfig
from espnet2.asr.features import write_features
from espnet2.train import finetune
from espnet2.train.cells import CellConfig
from espnet2.train.export.hf_folder import save_folder
from espnet2.utils.files import write_text

GOLDEN = Path(__file__).parents[1] / "golden"
SPEC = importlib.util.spec_from_file_location(
    "tiny_asr_for_hf", Path(__file__).parents[1] / "asr" / "tiny_asr.py"
)
tiny_asr = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny_asr)
logging.disable_progress_bar()

CELL = CellConfig(
    encoder_name="random", encoder=EncoderSpec(kind="random"), task="joint", track="10min",
    learning_rate=0.01, seed=1, corpora=[],
    features=FeatureConfig(dtype="float16", amp="float32"),
    probe=ProbeConfig(
        conv_channels=4, output_size=32, attention_heads=2, linear_units=32, num_blocks=1,
        dropout_rate=0.0, specaug=None,
    ),
    tune=TuneConfig(), batches=BatchConfig(batch_s=8), average_best=1,
    training={
        "max_steps": 30, "valid_interval_steps": 30, "save_interval_steps": 30, "num_workers": 0,
        "train_dtype": "float32",
    },
)  # fmt: skip
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


def train(root, cell):
    """Train a cell on tones of ``root``, made where they are missing; gives its folder."""
    export = root / "export"
    if not export.is_dir():
        tiny_asr.make_export(export)
        source = tiny_asr.make_cell_data(root)
        for split in ("train", "dev", "test"):
            write_features(
                source.data_dir(split), cell.encoder, export, cell.features, "cpu",
                root / "random/features" / f"10min_{split}",
            )  # fmt: skip
    out = root / "random" / cell.name
    finetune.run_cell(out, root / "dump", root / "random/features", export, cell)
    return out


@pytest.fixture(scope="session")
def tones(tmp_path_factory):
    """Root of tiny data with a trained cell on a frozen encoder, and its folder."""
    root = tmp_path_factory.mktemp("tones")
    return root, train(root, CELL)


@pytest.fixture
def train_cell():
    """``train`` and the cell that others are made of."""
    return train, CELL


@pytest.fixture
def waves(tones):
    """Audio of the cell's test split: lengths differ."""
    paths = sorted(tones[0].glob("dump/10min/test/wav/*"))
    return [soundfile.read(path, dtype="float32")[0] for path in paths]
