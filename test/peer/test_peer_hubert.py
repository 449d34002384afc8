"""ESPnet's HubertTask trains tiny models; our teacher reproduces the layers of its encoder."""

import numpy as np
import pytest
import torch
import yaml
from espnet_process import espnet_version, require_espnet, run_espnet, write_audio
from hubert_files import MODELS, settings

from espnet2.tokens.teachers.registry import build_teacher
from espnet2.utils.config import load_yaml

pytestmark = pytest.mark.peer

TOLERANCE = 1e-5  # of the largest absolute value


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """The folder in which ESPnet has trained a model of each kind and answered."""
    require_espnet()
    folder = tmp_path_factory.mktemp("hubert")
    write_audio(folder)
    for name in MODELS:
        (folder / name).mkdir()
        config = {
            "encoder": "torchaudio_hubert",
            "encoder_conf": {**settings(name), "final_dim": 6},
            "model": "torchaudio",
            "num_classes": 4,
            "input_size": 1,
            "frontend": None,
            "specaug": None,
            "normalize": None,
            "init": None,
        }
        (folder / name / "train.yaml").write_text(yaml.safe_dump(config))
    run_espnet("hubert_side.py", "peer", folder)
    return folder


def teacher(checkpoint, layer):
    return build_teacher("wavlablm", {"checkpoint": str(checkpoint), "layer": layer})


@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("name", MODELS)
def test_the_layers_of_a_model_that_espnet_trained_are_reproduced(peer, name, layer):
    assert load_yaml(peer / name / "config.yaml")["version"] == espnet_version()
    hubert = teacher(peer / name / "model.pth", layer)
    audio, answers = (np.load(peer / file) for file in ("audio.npz", f"{name}/answers.npz"))
    for wav in ("wav0", "wav1"):
        ours, theirs = hubert.frames([audio[wav]]).values.numpy(), answers[f"{wav}/layer{layer}"]
        assert ours.shape == theirs.shape == (len(audio[wav.replace("wav", "text")]), 16)
        error = np.abs(ours - theirs).max() / np.abs(theirs).max()
        assert error <= TOLERANCE, f"relative error {error:.1e}"


@pytest.mark.parametrize("file", ["1epoch.pth", "checkpoint.pth", "valid.loss.best.pth"])
def test_every_file_that_espnets_training_leaves_loads_here(peer, file):
    ours = teacher(peer / "large" / file, 3).network.state_dict()
    best = teacher(peer / "large/1epoch.pth", 3).network.state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in best.items())
