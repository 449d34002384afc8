"""Set-up: what stops everything is one clear line."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NO_INDEX = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
CHECK = ROOT / "tools/check_install.py"
VERSION = ".".join(map(str, sys.version_info[:2]))


def check(*options, **environment):
    return subprocess.run(
        [sys.executable, str(CHECK), *options],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_the_list_of_packages_is_that_of_setup_py():
    setup, report = (ROOT / "setup.py").read_text(), check().stdout
    required, extras = setup.split("extras_require")
    recipe = extras.split('"test": [')[0]
    for part, names in (("required", required), ("optional", recipe)):
        packages = set(re.findall(r'"([a-z_-]+)[><=]', names))
        assert len(packages) >= 8
        listed = report.split(f"{part} packages")[1].split("programs")[0].split("optional")[0]
        assert [name for name in sorted(packages) if f"  {name} " not in listed] == []


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


def stamp(file):
    """What install.sh leaves in an environment whose packages ``file`` names."""
    torch = re.search(r"^torch_version=(\S+)", (ROOT / "tools/install.sh").read_text(), re.M)[1]
    digest = hashlib.sha256((ROOT / file).read_bytes()).hexdigest()[:16]
    return f"{VERSION} torch {torch} {file.rpartition('.')[0]} {digest}\n"


VENV = {"tools/venv": stamp("setup.py") + "tests\n"}
CLIENTS = {
    f"tools/{name}_venv": stamp(f"tools/{name}_requirements.txt") for name in ("espnet", "s3prl")
}


def run_tool(folder, *command, installed=()):
    """One of our scripts in a bare copy of the tools, without a package index."""
    for path in (
        "tools/install.sh", "tools/test.sh", "tools/espnet_requirements.txt",
        "tools/s3prl_requirements.txt", "utils/recipe.sh", "setup.py",
    ):  # fmt: skip
        (folder / path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    for environment, content in dict(installed).items():
        (folder / environment).mkdir()
        (folder / environment / ".installed").write_text(content)
    return subprocess.run(
        ["bash", folder / command[0], *command[1:]],
        capture_output=True,
        text=True,
        env={**os.environ, **NO_INDEX, "PYTHON": sys.executable},
        check=False,
    )


def test_install_without_a_package_index_ends_in_one_sentence(tmp_path):
    result = run_tool(tmp_path, "tools/install.sh")
    assert result.returncode == 1
    assert "install.sh: error: pip could not install torch" in result.stderr
    assert "check the network to the package index" in result.stderr
    assert not (tmp_path / "tools/venv/.installed").exists()


@pytest.mark.parametrize("client", ["espnet", "s3prl"])
def test_a_peer_that_cannot_be_installed_ends_in_one_sentence_too(tmp_path, client):
    name = f"tools/{client}_venv"
    venv.create(tmp_path / name)  # without pip, as if it had been cut short
    result = run_tool(tmp_path, "tools/install.sh", f"--with_{client}", installed=VENV)
    assert result.returncode == 1
    assert "tools/venv is up to date" in result.stderr
    assert f"installing into {name}" in result.stderr
    assert "install.sh: error: pip could not install torch" in result.stderr
    assert not (tmp_path / name / ".installed").exists()


@pytest.mark.parametrize("dash", "_-")
def test_what_is_installed_is_not_installed_again(tmp_path, dash):
    options = [f"--with{dash}{name}" for name in ("espnet", "s3prl", "tests")]
    result = run_tool(tmp_path, "tools/install.sh", *options, installed=VENV | CLIENTS)
    assert result.returncode == 0
    lines = [line.partition("install.sh: ")[2] for line in result.stderr.splitlines()]
    assert lines == [f"{name} is up to date (Python {VERSION})" for name in VENV | CLIENTS]


@pytest.mark.parametrize("name", ["venv", "s3prl_venv"])
def test_an_environment_that_is_a_link_is_refused_and_left_alone(tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / name).symlink_to(elsewhere)
    installed = {} if name == "venv" else VENV
    result = run_tool(tmp_path, "tools/install.sh", "--with_s3prl", installed=installed)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        f"install.sh: error: tools/{name} is a link to {elsewhere}, and pip would write into it; "
        "remove the link and run tools/install.sh again"
    )
    assert list(elsewhere.iterdir()) == []


def test_an_unknown_option_of_the_installation_is_refused(tmp_path):
    result = run_tool(tmp_path, "tools/install.sh", "--with_espnets")
    assert result.returncode == 2
    assert result.stderr == "install.sh: unknown option --with_espnets; see --help\n"


def test_the_peer_tests_alone_ask_for_the_peer(tmp_path):
    result = run_tool(tmp_path, "tools/test.sh", "--only=peer", installed=VENV)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "test.sh: error: neither ESPnet nor s3prl is installed; "
        "tools/test.sh --with_espnet --with_s3prl does it"
    )


def test_the_peer_tests_run_with_an_espnet_that_lies_elsewhere(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    monkeypatch.setenv("ESPNET_VENV", str(elsewhere))
    command = ("tools/test.sh", "--only=peer")
    (tmp_path / "copy").mkdir()
    without = run_tool(tmp_path / "copy", *command)  # says so before it installs anything
    assert without.stderr == (
        f"test.sh: error: ESPNET_VENV={elsewhere} holds no bin/python3: it must be an environment "
        "with ESPnet\n"
    )
    venv.create(elsewhere)
    result = run_tool(tmp_path, *command, installed=VENV)
    assert result.stderr.endswith("/tools/venv/bin/python3: No such file or directory\n")  # pytest


def test_a_part_that_does_not_exist_is_refused(tmp_path):
    result = run_tool(tmp_path, "tools/test.sh", "--only", "peers")
    assert result.returncode == 2
    assert "--only must be lint, unit, peer or integration, got 'peers'" in result.stderr
