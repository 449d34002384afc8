"""What the README shows is run: its Python blocks as one program, its links and commands."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
TRACKED = subprocess.run(
    ["git", "-C", str(ROOT), "ls-files", "*.md"], capture_output=True, text=True, check=True
).stdout.split()
DOCUMENTS = [ROOT / path for path in TRACKED]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


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
    program = "\n".join(blocks("python")).replace("/path/to/", f"{folder}/")
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("torch.Size([1, 49, ")


def test_the_commands_exist_and_are_executable():
    commands = [line for block in blocks("bash") for line in block.splitlines() if line]
    assert commands == ["egs2/mini/ssl1/run.sh", "tools/test.sh"]
    assert all((ROOT / command).stat().st_mode & 0o100 for command in commands)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(document):
    links = re.findall(r"\]\(([^)#]+)\)", document.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (document.parent / link).exists()] == []


def test_files_named_in_the_map_of_the_package_exist():
    text = (ROOT / "espnet2/README.md").read_text()
    names = set(re.findall(r"`([a-z]+/[a-z_]+\.py)`", text))
    assert len(names) > 15
    assert [name for name in sorted(names) if not (ROOT / "espnet2" / name).exists()] == []
