"""The tiny reference models, as (YAML keys, state dict, arrays)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from espnet2.ssl.interop import our_names
from espnet2.tasks.ssl import SSLTask

GOLDEN = Path(__file__).parent.parent / "golden"


class Reference:
    """One of the tiny models of a golden file."""

    def __init__(self, layout, config):
        self.arrays = np.load(GOLDEN / f"xeus_tiny_{layout}.npz")
        self.prefix = config
        self.config = json.loads(str(self.arrays[f"{config}/cfg"]))
        self.wavs = torch.from_numpy(self.arrays["in/wav"])
        self.lengths = torch.from_numpy(self.arrays["in/wav_lens"])

    def tensor(self, name):
        return torch.from_numpy(self.arrays[f"{self.prefix}/{name}"])

    def tensors(self, folder):
        start = f"{self.prefix}/{folder}/"
        names = [name for name in self.arrays.files if name.startswith(start)]
        return {name.removeprefix(start): torch.from_numpy(self.arrays[name]) for name in names}

    def model(self, folder=None, **changes):
        """Our model with the reference's weights; ``folder`` holds another loss head."""
        model = SSLTask.build_model({**self.config, **changes}).eval()
        state = self.tensors("sd")
        if folder:
            state = {k: v for k, v in state.items() if not k.startswith("losses.")}
            state.update(self.tensors(f"{folder}/sd"))
        left = model.load_state_dict(our_names(state), strict=False)
        assert not left.unexpected_keys
        assert all(key.startswith("losses.") for key in left.missing_keys)
        return model


@pytest.fixture(scope="module")
def reference():
    """``reference(layout, config)``, each opened once a module."""
    opened = {}

    def get(layout="old", config="xeus"):
        key = (layout, config)
        if key not in opened:
            opened[key] = Reference(layout, config)
        return opened[key]

    return get
