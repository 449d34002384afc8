"""The driver refuses a YAML whose name another one has taken: real shells, stage 2 of nothing."""

import os
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).resolve().parents[1] / "egs2/mini/ssl1/run.sh"


def drive(*options):
    return subprocess.run(
        [str(RUN), *options], capture_output=True, text=True, check=False,
        env={**os.environ, "XEUS_PYTHON": sys.executable},
    )  # fmt: skip


def test_a_second_yaml_of_the_same_name_is_refused_unless_the_tag_is_typed(tmp_path):
    """Stage 2 ends at once: there is no corpus. The name is taken before it."""
    first, second = tmp_path / "a/own.yaml", tmp_path / "b/own.yaml"
    for conf in (first, second):
        conf.parent.mkdir()
        conf.write_text("seed: 1\n")
    recipe = ["--recipe_dir", str(tmp_path), "--stage=2", "--stop_stage=2"]
    drive("--conf", str(first), *recipe, "--dry_run")
    assert not (tmp_path / "exp").exists()
    drive("--conf", str(first), *recipe)
    assert (tmp_path / "exp/log/own/conf").read_text() == "a/own.yaml\n"
    refused = drive("--conf", str(second), *recipe, "--dry_run")
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr == (
        f"run.sh: --conf {second}: exp already holds 'own' of {first}; "
        "--ssl_tag NAME names this one; see --help\n"
    )
    for options in (["--ssl_tag=own"], ["--expdir=exp2"]):
        allowed = drive("--conf", str(second), *recipe, "--dry_run", *options)
        assert allowed.returncode == 0, allowed.stderr
    first.rename(tmp_path / "moved.yaml")  # no other YAML is there then
    assert drive("--conf", str(second), *recipe, "--dry_run").returncode == 0
