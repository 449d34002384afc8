"""The pages on transformers and s3prl: their programs run, or are those that a peer test runs."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from textwrap import indent

import pytest
import soundfile
from documents import ROOT, blocks

import espnet2.s3prl

SPEC = importlib.util.spec_from_file_location("small_folders", ROOT / "test/hf/conftest.py")
small_folders = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(small_folders)
CELL = "exp/superb/pretrained/multi_10min_lr0.001_seed1"  # as the page calls it


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A recipe's folder with a small export and a small cell where the page has them."""
    root = tmp_path_factory.mktemp("recipe")
    config, state = small_folders.tiny("old")
    small_folders.save_file(state, root / "model.safetensors", {"format": "pt"})
    (root / "exp/ssl_mini/export").mkdir(parents=True)
    small_folders.save_folder(root / "exp/ssl_mini/export/hf", config, root / "model.safetensors")
    cell = small_folders.tiny_asr.train(root / "tones", small_folders.tiny_asr.CELL)
    (root / CELL).parent.mkdir(parents=True)
    (root / CELL).symlink_to(cell)
    recording = min((root / "tones/dump/10min/test/wav").iterdir())
    wave, rate = soundfile.read(recording)
    soundfile.write(root / "audio.wav", wave, rate)
    return root


def test_the_page_on_transformers_runs_from_top_to_bottom(folder):
    printed = []
    for block in blocks("doc/hugging_face.md"):
        program = [sys.executable, "-c", block.text]
        if block.language == "bash":
            program = ["bash", "-euo", "pipefail", "-c",
                       block.text.replace("python3", shlex.quote(sys.executable))]  # fmt: skip
        result = subprocess.run(
            program, cwd=folder, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        assert result.returncode == 0, f"{block.name}: {result.stderr[-3000:]}"
        printed.append(result.stdout)
    assert re.search(r"torch\.Size\(\[1, \d+, 32\]\)\n\d\n", printed[0])
    assert (folder / "hf_multi/config.json").exists()
    assert len(printed[-1].splitlines()) == 1


def test_the_page_on_s3prl_shows_the_program_that_the_peer_test_runs():
    [shown] = blocks("doc/s3prl.md", "python")
    assert indent(shown.text, "    ") in espnet2.s3prl.__doc__
