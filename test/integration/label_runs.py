"""Stages kmeans and label as real commands on a tiny set, for the tests of this folder."""

import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test/tokens"))  # tiny_tokens, tiny_teachers


def write_recipe(path, **section):
    section = {"num_clusters": 20, "kmeans_iterations": 5, "max_dead_ratio": 1.0, **section}
    path.write_text(yaml.safe_dump({"seed": 1, "tokens": section}))


def words(place, stage, run, teacher, *options):
    """A stage's command line; what the run writes lies in its own folder."""
    codebook, labels = place / run / "tokens/toy", place / run / "labels/toy"
    outputs = {"kmeans": ["--out", codebook], "label": ["--codebook", codebook, "--out", labels]}
    return [
        "--conf", str(place / f"{teacher}.yaml"), "--index", str(place / "train/index.arrow"),
        "--log_dir", str(place / run / "log" / stage), *map(str, outputs[stage]), *options,
    ]  # fmt: skip


def start(place, stage, *details):
    """The real command in a process group of its own."""
    command = [sys.executable, "-m", f"espnet2.bin.{stage}", *words(place, stage, *details)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def finish(place, stage, *details):
    """Run a stage to its end; returns what it said."""
    process = start(place, stage, *details)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output
