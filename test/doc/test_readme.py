"""What the README shows is run: its Python blocks as one program, its features for real."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
import yaml
from documents import ROOT, blocks
from shell_blocks import commands_of


@pytest.fixture(params=["old", "new"])
def folder(request, tmp_path):
    """A tiny checkpoint of either layout with its YAML, and a recording."""
    arrays = np.load(ROOT / f"test/golden/xeus_tiny_{request.param}.npz")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(json.loads(str(arrays["xeus/cfg"]))))
    names = [name for name in arrays.files if name.startswith("xeus/sd/")]
    state = {n.removeprefix("xeus/sd/"): torch.from_numpy(arrays[n]) for n in names}
    torch.save(state, tmp_path / "checkpoint.pth")
    soundfile.write(tmp_path / "audio.wav", arrays["in/wav"][0], 16000)
    return tmp_path


def test_the_python_blocks_run_as_one_program(folder):
    program = "\n".join(block.text for block in blocks("README.md", "python"))
    result = subprocess.run(
        [sys.executable, "-c", program.replace("/path/to/", f"{folder}/")],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("torch.Size([1, 49, ")


def commands():
    return [words for block in blocks("README.md", "bash") for words in commands_of(block.text)]


def test_the_commands_are_these_and_executable():
    """The first takes ten minutes and the second is this test's own caller: neither is run here."""
    mini, tests, install, *_ = [words[0] for words in commands()]
    assert (mini, tests, install) == (
        "egs2/mini/ssl1/run.sh", "tools/test.sh", "tools/install.sh"
    )  # fmt: skip
    assert all((ROOT / path).stat().st_mode & 0o100 for path in (mini, tests, install))


def test_features_need_three_commands_and_the_last_one_works(folder):
    """Installing and entering an environment is what the tests already run in."""
    install, enter, command = commands()[2:]
    assert install == ["tools/install.sh"]
    assert enter == [".", "tools/venv/bin/activate"]
    assert command[0] == "xeus"
    words = [word.replace("/path/to", str(folder)) for word in command[1:]]
    result = subprocess.run(
        [sys.executable, "-m", "espnet2.bin.xeus", *words], cwd=folder, check=False,
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert np.load(folder / "features/audio.npz")["features"].shape[0] == 49
