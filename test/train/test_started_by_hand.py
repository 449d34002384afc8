"""Ranks that a person starts: torchrun, srun, two nodes of a cluster; real processes over gloo."""

import json
import os
import subprocess
import sys

import pytest
from gloo_ranks import ENVIRONMENT, ROOT
from tiny_dump import TAG, make_dump, write_recipe

from espnet2.train import slurm
from espnet2.train.slurm import is_rank, rendezvous_options, take_rank_from_srun
from espnet2.utils.errors import ConfigError

FAKE_SLURM = ROOT / "test/utils/fake_slurm.py"
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--local_addr=127.0.0.1"]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """The commands of a cluster of this machine."""
    subprocess.run([sys.executable, FAKE_SLURM, "install", tmp_path / "bin"], check=True)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "state").mkdir()
    return {
        **ENVIRONMENT, "PATH": os.environ["PATH"], "FAKE_SLURM": str(tmp_path / "state")
    }  # fmt: skip


@pytest.fixture
def pretrain(tmp_path):
    """Arguments of a short pre-training, with a loader process."""
    make_dump(tmp_path / "dump")
    recipe = write_recipe(tmp_path / "tiny.yaml", max_steps=4, num_workers=1)
    options = {
        "conf": recipe,
        "dump": tmp_path / "dump",
        "labels_tag": TAG,
        "exp": tmp_path / "exp",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return ["espnet2.bin.pretrain", *words]


def summary(folder):
    return json.loads((folder / "exp/summary.json").read_text())


def test_torchrun_by_hand_trains(tmp_path, pretrain):
    command = [sys.executable, *TORCHRUN, "--nproc_per_node=2", "-m", *pretrain]
    subprocess.run(command, env=ENVIRONMENT, cwd=tmp_path, check=True)
    assert (summary(tmp_path)["ranks"], summary(tmp_path)["step"]) == (2, 4)


def test_srun_by_hand_trains(tmp_path, pretrain, cluster):
    nodes = {
        "SLURM_NTASKS": "2",
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NODELIST": "localhost",
    }
    command = ["srun", sys.executable, "-m", *pretrain]
    subprocess.run(command, env={**cluster, **nodes}, cwd=tmp_path, check=True)
    assert (summary(tmp_path)["ranks"], summary(tmp_path)["step"]) == (2, 4)


def test_a_job_of_two_nodes_trains_and_one_of_them_marks_it_done(tmp_path, pretrain, cluster):
    (tmp_path / "mine.yaml").write_text("cpu: {nodes: 2}")
    command = [sys.executable, "-m", *pretrain, "--cluster", str(tmp_path / "mine.yaml")]
    subprocess.run(command, env=cluster, cwd=tmp_path, check=True)
    assert (summary(tmp_path)["ranks"], summary(tmp_path)["step"]) == (2, 4)
    assert (tmp_path / "exp/.pretrain.done").is_file()
    assert "SLURM_NODEID" not in os.environ
    again = subprocess.run(command, env=cluster, cwd=tmp_path, capture_output=True, text=True)
    assert "up to date (1 unit)" in again.stderr


def test_gpus_that_are_not_there_are_one_line_whatever_the_ranks(tmp_path, pretrain):
    command = [sys.executable, "-m", *pretrain, "--ngpu", "2", "--ranks", "2"]
    environment = {**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    said = "--ngpu 2: GPUs that torch finds here: 0; ask for no more (--ngpu 0 uses the CPU)"
    assert ended.stderr.count(said) == 2  # as it comes, and as what became of the unit
    assert "Traceback" not in ended.stderr


STEP = {
    "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "41",
    "SLURM_JOB_NODELIST": "node[7-8]",
}  # fmt: skip


@pytest.fixture
def step(monkeypatch):
    """The variables of one task of srun, and none of torchrun's."""
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # so that they are put back
        monkeypatch.delenv(name)
    for name, value in STEP.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_a_task_of_srun_becomes_a_rank(step):
    step.setattr(slurm, "first_node", lambda: "node7")
    assert is_rank()
    take_rank_from_srun()
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    assert [os.environ[name] for name in names] == ["3", "1", "4", "node7", "20041"]


def test_a_task_that_sees_one_gpu_takes_that_one(step):
    step.setattr(slurm, "first_node", lambda: "node7")
    step.setenv("CUDA_VISIBLE_DEVICES", "5")  # as --gpus-per-task=1 sets it
    take_rank_from_srun()
    assert (os.environ["RANK"], os.environ["LOCAL_RANK"]) == ("3", "0")


def test_torchruns_variables_come_first_and_a_batch_script_is_no_rank(step):
    step.setenv("RANK", "0")
    take_rank_from_srun()
    assert "WORLD_SIZE" not in os.environ
    step.delenv("RANK")
    step.delenv("SLURM_STEP_NUM_TASKS")
    step.setenv("SLURM_NTASKS", "4")
    assert not is_rank()
    take_rank_from_srun()
    assert "RANK" not in os.environ


def test_nodes_meet_at_the_first_under_a_name_that_a_requeued_job_does_not_share(step, cluster):
    step.setenv("SLURM_JOB_NODELIST", "node7,node8")
    step.setenv("SLURMD_NODENAME", "node8")
    options = rendezvous_options(2)
    assert options[0] == "--nnodes=2"
    assert "--rdzv_endpoint=node7:20041" in options
    assert "--local_addr=node8" in options
    step.setenv("SLURM_RESTART_COUNT", "1")
    assert "--rdzv_id=41.1" in rendezvous_options(2)


def test_nodes_that_slurm_does_not_name_are_one_line(step, tmp_path):
    step.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"'node\[7-8\]' names no node; set MASTER_ADDR and"):
        take_rank_from_srun()
