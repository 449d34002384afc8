"""Real ESPnet as a process in its own environment, and audio for both sides."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

OURS = Path(__file__).resolve().parents[2] / "tools/espnet_venv"
ENVIRONMENT = Path(os.environ.get("ESPNET_VENV") or OURS)  # another's, with another ESPnet


def require_espnet():
    """Skip the test where ESPnet's environment was not made."""
    if ENVIRONMENT == OURS and not (ENVIRONMENT / ".installed").is_file():
        pytest.skip(f"{ENVIRONMENT} is missing; tools/install.sh --with_espnet makes it")


def espnet_version():
    """The version of ESPnet in its environment."""
    (folder,) = ENVIRONMENT.glob("lib/python3*/site-packages/espnet-*.dist-info")
    return folder.name.removeprefix("espnet-").removesuffix(".dist-info")


def run_espnet(script, *arguments):
    """Run a script of this folder; the last argument is the folder that it works in.

    One process for all cases: to import ESPnet takes seconds.
    """
    command = [ENVIRONMENT / "bin/python3", "-P", Path(__file__).with_name(script), *arguments]
    run_beside_espnet(*command, folder=arguments[-1])  # -P and that folder: no other espnet2


def run_beside_espnet(*words, folder):
    """Run a command in ``folder``, where ESPnet may be started; returns what it printed."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1"}
    environment |= {"https_proxy": "http://127.0.0.1:9"}  # its import would ask NLTK for data
    result = subprocess.run(
        words, capture_output=True, text=True, cwd=folder, env=environment, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout + result.stderr


def write_audio(folder):
    """Two utterances with labels, as arrays and as Kaldi files to train on."""
    rng = np.random.default_rng(3)
    data, arrays, lines = folder / "data", {}, {"wav.scp": [], "text": [], "speech_shape": []}
    data.mkdir()
    for i, frames in enumerate((51, 19)):
        samples = rng.normal(0.01, 0.1, 400 + 320 * (frames - 1) + 7).astype(np.float32)
        labels = rng.integers(0, 4, frames)
        arrays |= {f"wav{i}": samples, f"text{i}": labels}
        soundfile.write(data / f"wav{i}.wav", samples, 16000)
        lines["wav.scp"].append(f"wav{i} {data}/wav{i}.wav")
        lines["text"].append(f"wav{i} {' '.join(map(str, labels))}")
        lines["speech_shape"].append(f"wav{i} {len(samples)}")
    lines["tokens.txt"] = ["0", "1", "2", "3", "<unk>", "<sos/eos>"]
    for name, content in lines.items():
        (data / name).write_text("\n".join(content) + "\n")
    np.savez(folder / "audio.npz", **arrays)
