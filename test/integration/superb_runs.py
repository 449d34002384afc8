"""The benchmark's run.sh on a tiny tree and a tiny export, for the tests of this folder."""

import importlib.util
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from espnet2.data.corpora.superb_tiny import write_tiny_tree

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "egs2/ml_superb/asr1/run.sh"
CONF = Path(__file__).parent / "superb_matrix.yaml"
LANGUAGES = ["swe", "deu", "tok"]  # tok is reserved: five training utterances
PATIENCE_S = 600


def make_inputs(folder):
    """A tree and an export in ``folder``."""
    spec = importlib.util.spec_from_file_location("tiny_asr", ROOT / "test/asr/tiny_asr.py")
    tiny_asr = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny_asr)
    write_tiny_tree(folder / "ML SUPERB", LANGUAGES, 1)
    tiny_asr.make_export(folder / "export")
    return folder


def start(inputs, place, *options, environment=None):
    """Start run.sh for the recipe folder ``place``; its words go to place/said.txt."""
    place.mkdir(parents=True, exist_ok=True)
    words = [
        str(RUN), "--recipe_dir", str(place), "--conf", str(CONF), "--nj", "1",
        "--data", str(inputs / "ML SUPERB"), "--export", str(inputs / "export"), *options,
    ]  # fmt: skip
    with open(place / "said.txt", "ab") as said:
        return subprocess.Popen(
            words, cwd="/", stdout=said, stderr=said, start_new_session=True,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip


def finish(process, place):
    """Wait for the end; the exit status and the lines said in all its runs."""
    try:
        status = process.wait(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        kill(process)
        raise
    return status, (place / "said.txt").read_text().splitlines()


def run(inputs, place, *options, **more):
    """A whole run."""
    return finish(start(inputs, place, *options, **more), place)


def kill(process):
    """SIGKILL to the driver and to everything it started."""
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(timeout=PATIENCE_S) == -signal.SIGKILL


def until(condition, process):
    """Wait until ``condition()``; the run must not end before."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, "the run ended by itself"
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def cell_folders(place):
    """Name of each cell -> its folder."""
    return {path.name: path for path in sorted((place / "exp/superb").glob("*/*_lr*_seed*"))}


def scores(place):
    """scores.json without what a clock says."""
    return without_cost(json.loads((place / "exp/superb/scores.json").read_text()))


def without_cost(value):
    """Plain data without the keys that tell seconds."""
    if isinstance(value, dict):
        return {key: without_cost(one) for key, one in value.items() if key != "cost"}
    return [without_cost(one) for one in value] if isinstance(value, list) else value
