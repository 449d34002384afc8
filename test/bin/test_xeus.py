"""The one command: it finds its parts and names itself as they are called."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet2.bin import xeus

ROOT = Path(__file__).resolve().parents[2]


def run(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "espnet2.bin.xeus", *map(str, words)],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, **options,
    )  # fmt: skip


def test_its_help_names_every_part():
    result = run("--help")
    assert result.returncode == 0
    assert result.stdout.startswith("usage: xeus [-h] {features,tokens,lid,transcribe,")
    for name in ("features", "tokens", "lid", "transcribe", "inspect", "bench", "doctor"):
        assert f"\n    {name}  " in result.stdout
    assert list(xeus.COMMANDS) == [
        "features", "tokens", "lid", "transcribe", "inspect", "bench", "doctor",
    ]  # fmt: skip


@pytest.mark.parametrize("name", xeus.COMMANDS)
def test_a_parts_help_is_its_modules_under_this_name(name):
    module, _ = xeus.COMMANDS[name]
    ours = run(name, "--help").stdout
    command = [sys.executable, "-m", f"espnet2.bin.{module}", "--help"]
    theirs = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert ours.startswith(f"usage: xeus {name} [-h] ")
    assert ours.partition("\n\n")[2] == theirs.partition("\n\n")[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "xeus: error: the following arguments are required: command\n"),
        (["featres"], "xeus: error: argument command: invalid choice: 'featres'"),
        (["tokens"], "xeus tokens: error: the following arguments are required: --codebook\n"),
        (["lid", "--device"], "xeus lid: error: argument --device: expected one argument\n"),
    ],
)
def test_a_wrong_word_ends_with_status_2(words, message):
    result = run(*words)
    assert result.returncode == 2
    assert message in result.stderr


def test_an_expected_error_is_one_line_with_status_1(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(1600), 16000)
    result = run("features", "--checkpoint", tmp_path / "no.pth", "--wav", tmp_path / "a.wav",
                 "--out", tmp_path / "out")  # fmt: skip
    assert result.returncode == 1
    assert result.stderr == (f"xeus features: error: {tmp_path}/no.pth: no such checkpoint file\n")
