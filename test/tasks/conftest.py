"""A released-like folder of a tiny reference model, in either layout."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
import yaml

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture(params=["old", "new"])
def export(request, tmp_path):
    """A folder with config.yaml, checkpoint.pth and audio.wav; the layout's golden arrays."""
    arrays = np.load(GOLDEN / f"xeus_tiny_{request.param}.npz")
    config = json.loads(str(arrays["xeus/cfg"]))
    config |= {"batch_bins": 1600000, "token_list": ["0", "1"], "use_amp": True}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    state = {
        name.removeprefix("xeus/sd/"): torch.from_numpy(arrays[name])
        for name in arrays.files
        if name.startswith("xeus/sd/")
    }
    torch.save(state, tmp_path / "checkpoint.pth")
    sf.write(tmp_path / "audio.wav", arrays["in/wav"][0], 16000, subtype="FLOAT")
    return tmp_path, arrays
