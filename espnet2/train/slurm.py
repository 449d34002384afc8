"""Which rank SLURM made this process, and where the nodes of a job meet; imports no torch."""

import os
import subprocess

from espnet2.utils.errors import ConfigError

PORT_BASE, PORTS = 20_000, 10_000  # a job's port: two jobs on one node must not share it


def is_rank() -> bool:
    """Whether torchrun, or srun with several tasks, started this process as one of many."""
    return "RANK" in os.environ or int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1


def take_rank_from_srun() -> None:
    """Set the variables that torchrun sets from those of srun, where only these are there.

    The step's own number of tasks counts: the script of a batch job has the job's, and is no rank.

    Raises:
        ConfigError: the first node of the job is not to be found.
    """
    if "RANK" in os.environ or not is_rank():
        return
    os.environ |= {
        "RANK": os.environ["SLURM_PROCID"],
        "LOCAL_RANK": "0" if has_own_gpu() else os.environ["SLURM_LOCALID"],
        "WORLD_SIZE": os.environ["SLURM_STEP_NUM_TASKS"],
    }
    os.environ.setdefault("MASTER_ADDR", first_node())
    os.environ.setdefault("MASTER_PORT", str(job_port()))


def has_own_gpu() -> bool:
    """Whether srun shows this task one GPU alone (``--gpus-per-task=1``), which torch calls 0."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return visible != "" and "," not in visible


def rendezvous_options(nodes: int) -> list[str]:
    """torchrun's options for one of several machines of a SLURM job; they meet at the first."""
    job = f"{os.environ['SLURM_JOB_ID']}.{os.environ.get('SLURM_RESTART_COUNT', 0)}"
    return [
        f"--nnodes={nodes}", "--rdzv_backend=c10d", f"--rdzv_id={job}",
        f"--rdzv_endpoint={first_node()}:{job_port()}",
        f"--local_addr={os.environ['SLURMD_NODENAME']}",
    ]  # fmt: skip


def first_node() -> str:
    """Name of the job's first node.

    Raises:
        ConfigError: SLURM does not say.
    """
    names = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_JOB_NODELIST", "")
    try:
        listed = subprocess.run(
            ["scontrol", "show", "hostnames", names], capture_output=True, text=True, check=True
        )
        return listed.stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        raise ConfigError(
            f"scontrol show hostnames {names!r} names no node; set MASTER_ADDR and MASTER_PORT, or "
            "start with torchrun"
        ) from None


def job_port() -> int:
    """A port that only this job uses."""
    return PORT_BASE + int(os.environ["SLURM_JOB_ID"]) % PORTS
