"""Set-up: what stops everything is one clear line."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NO_INDEX = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
CHECK = ROOT / "tools/check_install.py"


def check(*options, **environment):
    return subprocess.run(
        [sys.executable, str(CHECK), *options],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_this_environment_is_complete():
    result = check()
    assert result.returncode == 0, result.stderr
    assert "k-means" in result.stdout
    assert "missing" not in result.stdout.partition("optional packages")[0]


def test_pypis_espnet_beside_us_is_refused(tmp_path):
    info = tmp_path / "espnet-202511.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: espnet\nVersion: 202511\n")
    result = check("--quick", PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "PyPI's espnet 202511 is installed" in result.stderr
    assert "separate environments" in result.stderr


def test_a_bare_interpreter_is_told_what_to_run():
    result = subprocess.run(
        [sys.executable, "-I", "-S", str(CHECK), "--quick"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "torch is not installed (the model): run tools/install.sh" in result.stderr


def test_install_without_a_package_index_ends_in_one_sentence(tmp_path):
    for folder in ("tools", "utils"):
        (tmp_path / folder).mkdir()
    for path in ("tools/install.sh", "utils/recipe.sh", "setup.py"):
        (tmp_path / path).write_bytes((ROOT / path).read_bytes())
    result = subprocess.run(
        ["bash", str(tmp_path / "tools/install.sh")],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": "",
        },
        check=False,
    )
    assert result.returncode == 1
    assert "install.sh: error: pip could not install torch" in result.stderr
    assert "check the network to the package index" in result.stderr
    assert not (tmp_path / "tools/venv/.installed").exists()
