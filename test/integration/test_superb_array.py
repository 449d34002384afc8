"""The matrix as SLURM arrays: features, then cells; a job that is killed loses only its steps."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "utils")]

import fake_slurm  # noqa: E402
from superb_runs import cell_folders, finish, make_inputs, run, start, until  # noqa: E402

from espnet2.train.checkpoint import load_tensors  # noqa: E402

pytestmark = pytest.mark.integration

CLUSTER = "cpu: {timeout_min: 30, mem_gb: 3, cpus_per_task: 1, slurm_partition: cpu}\n"
SMALL = ["--set", "finetune.encoders={fbank: {kind: fbank}}", "--set", "finetune.tasks=[lid]"]
FIRST, SECOND = "lid_10min_lr0.001_seed1", "lid_10min_lr0.01_seed1"


@pytest.fixture
def slurm(tmp_path):
    """The environment with a cluster's commands, its state's folder, and the options for it."""
    state, bin_dir = tmp_path / "state", tmp_path / "bin"
    state.mkdir()
    fake_slurm.install(bin_dir)
    (tmp_path / "mine.yaml").write_text(CLUSTER)
    environment = {"PATH": f"{bin_dir}{os.pathsep}{os.environ['PATH']}", "FAKE_SLURM": str(state)}
    return environment, state, ["--stage", "11", "--cluster", str(tmp_path / "mine.yaml"), *SMALL]


def test_cells_are_one_array_and_a_killed_one_goes_on_with_the_same_bits(tmp_path, slurm):
    environment, state, options = slurm
    inputs, place, alone = make_inputs(tmp_path), tmp_path / "recipe", tmp_path / "alone"
    assert run(inputs, place, "--stop_stage", "10", *SMALL)[0] == 0
    process = start(inputs, place, "--stop_stage", "11", *options, environment=environment)
    until(lambda: is_halfway(place, FIRST), process)
    running = [path.read_text() for path in state.glob("101*.state")]
    pids = [int(text.split()[1]) for text in running if text.startswith("RUNNING")]
    os.killpg(pids[0], signal.SIGKILL)
    status, said = finish(process, place)
    assert status == 1
    assert arrays(state) == {"100": 3, "101": 2}  # features of three splits, two cells
    assert any(
        f"fbank_{FIRST} failed: SLURM job 101_0 ended as OUT_OF_MEM" in line for line in said
    )
    assert (cell_folders(place)[SECOND] / "model.pth").is_file()
    assert "ended as OUT_OF_MEMORY" in (cell_folders(place)[FIRST] / "failed.json").read_text()
    shutil.copytree(place, alone, ignore=shutil.ignore_patterns("*_lr*", "log"))
    status, said = run(inputs, place, "--stop_stage", "11", *options, environment=environment)
    assert status == 0, "\n".join(said)
    assert arrays(state)["102"] == 1  # the killed cell alone, from its checkpoint
    log = place / f"exp/log/superb_matrix/finetune/fbank_{FIRST}.log"
    assert "step 2/" not in log.read_text()
    assert not (cell_folders(place)[FIRST] / "failed.json").exists()
    assert run(inputs, alone, "--stage", "11", "--stop_stage", "11", *SMALL)[0] == 0
    for name in (FIRST, SECOND):
        one, other = (weights(folder, name) for folder in (place, alone))
        assert all(one[key].equal(other[key]) for key in other)


def is_halfway(place, name):
    """Whether a cell has a checkpoint and no model yet."""
    folder = cell_folders(place).get(name, place)
    return list(folder.glob("checkpoints/step_*.pth")) and not (folder / "model.pth").exists()


def weights(place, name):
    """The trained weights of a cell."""
    return load_tensors(cell_folders(place)[name] / "model.pth")["model"]


def arrays(state):
    """Jobs of each submitted array, by the number of its first job."""
    found = {}
    for script in state.glob("*.sh"):
        array = fake_slurm.options_of(script).get("array", "0-0%1")
        found[script.stem] = int(array.partition("%")[0].partition("-")[2]) + 1
    return found
