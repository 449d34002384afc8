"""SLURM: whether jobs can be sent from here, and what the job that this process is in was given."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping

from espnet2.utils.doctor.finding import Finding, judged

PATIENCE_S = 20.0  # for the controller to answer
PROGRAMS = ("sbatch", "srun", "scancel", "sacct")


def slurm_findings(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Its programs, its GPUs, and the job."""
    there = [name for name in PROGRAMS if shutil.which(name)]
    inside = environment.get("SLURM_JOB_ID")
    if not there and not inside:
        yield judged("SLURM", "not here", advice="units run on this machine (--cluster local)")
        return
    missing = [name for name in PROGRAMS[:2] if name not in there]
    fail = ""
    if missing and not inside:
        fail = f"{' and '.join(missing)} not found; --cluster slurm needs both, load SLURM's module"
    yield judged("SLURM", ", ".join(there) or "no program of it", fail=fail)
    if inside:
        yield job(environment)
    if shutil.which("sinfo"):
        yield nodes()


def job(environment: Mapping[str, str]) -> Finding:
    """What this process's job was given."""
    get = environment.get
    count = get("SLURM_JOB_NUM_NODES", "1")
    found = f"job {get('SLURM_JOB_ID')}, {count} node{'s' if count != '1' else ''}"
    cores, gpus = get("SLURM_CPUS_PER_TASK"), get("SLURM_GPUS_ON_NODE")
    found += f", {cores} cores a task" if cores else ""
    found += f", {gpus} GPUs on this node" if gpus else ", no GPU on this node"
    warn = ""
    if cores is None:
        warn = (
            "one core a task is usual then; ask for --cpus-per-task (cpus in conf/cluster/*.yaml)"
        )
    return judged("SLURM job", found, warn=warn)


def nodes() -> Finding:
    """GPUs a node, as SLURM says."""
    try:
        answer = subprocess.run(
            ["sinfo", "--noheader", "--format=%D %G %P"], capture_output=True, text=True,
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return judged("SLURM nodes", f"no answer in {PATIENCE_S:.0f} s",
                      fail="its controller does not answer; ask your cluster's people")  # fmt: skip
    if answer.returncode:
        reason = " ".join(answer.stderr.split()) or f"status {answer.returncode}"
        return judged("SLURM nodes", f"sinfo failed ({reason})",
                      fail="its controller does not answer; ask your cluster's people")  # fmt: skip
    rows = [line.split(maxsplit=2) for line in answer.stdout.splitlines() if line.split()]
    with_gpus = [f"{count} x {kind} in {name}" for count, kind, name in rows if "gpu" in kind]
    found = "; ".join(with_gpus) or f"{sum(int(row[0]) for row in rows)} nodes, none with a GPU"
    warn = "" if with_gpus else "pre-training there would run on CPUs (section gpu of the YAML)"
    return judged("SLURM nodes", found, warn=warn)
