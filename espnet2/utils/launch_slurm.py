"""Units as SLURM jobs, through submitit: one job array, several units a job where there are many.

A job runs its units as ``launch_local`` does (``slurm_share.py``), so their environment, logs and
markers are the same.
"""

import contextlib
import itertools
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from espnet2.utils.cluster import JobSettings, Needs
from espnet2.utils.errors import ConfigError
from espnet2.utils.lanes import deal
from espnet2.utils.launch_local import Follower, last_line, was_done
from espnet2.utils.logs import log
from espnet2.utils.processes import THREAD_VARIABLES
from espnet2.utils.provenance import REPOSITORY
from espnet2.utils.slurm_share import GoingOn, run_share

POLL_S = 1.0
GRACE_S = 15.0  # how long a result may take to come through a network file system
NEWS_S = 600.0  # between two lines on the terminal
MAX_REQUEUES = 10_000  # of a job that goes on each time: its steps end it, not its days
SAVING = 0.7  # share of the time before the end; the rest is for returning to the queue
LAST_TASKS = "--wait=120"  # srun ends the tasks that are left so long after the first one's end
WROTE_A_RESULT = ("COMPLETED", "FAILED")  # the job's program came to its own end
ADVICE = {
    "OUT_OF_MEMORY": "give it more mem_gb in {conf}",
    "TIMEOUT": "give it more timeout_min in {conf}, or run the same command again to go on",
}
OUT_OF_TIME = "not requeued because: timed-out"  # submitit's words when the time is nearly up


def launch_slurm(
    specs: Sequence[Path], settings: JobSettings, conf: Path, nj: int, needs: Needs
) -> list[tuple[Path, str]]:
    """Run every spec in one job array, at most ``nj`` jobs at a time.

    settings come from the YAML ``conf``. Returns (spec, last error line) of the failed. Ctrl-C
    cancels the jobs; units done by then stay done.

    Raises:
        ConfigError: no sbatch here, submitit is not installed, sbatch refuses the settings, or they
            give a job fewer GPUs than a unit uses.
    """
    refuse_without_slurm()
    lanes = lanes_of_job(settings, needs, conf)
    shares = pack(deal(specs, nj * lanes, needs.together), settings.array_size, lanes)
    for spec in specs:
        spec.with_suffix(".log").unlink(missing_ok=True)  # an old log is no news of this job
    jobs = submit(shares, lanes, settings, conf, nj, needs)
    array = jobs[0].job_id.partition("_")[0]
    log(f"SLURM job {array}: units {len(specs)}, jobs {len(jobs)}, at most {nj} jobs at a time")
    with cancelled_if_interrupted(array):
        wait_for(jobs, Follower(specs[0].with_suffix(".log")) if len(specs) == 1 else None)
    deadline = time.monotonic() + GRACE_S
    return [
        failure
        for job, share in zip(jobs, shares, strict=True)
        for failure in failures(job, list(itertools.chain(*share)), conf, deadline)
    ]


def refuse_without_slurm() -> None:
    """Raise ConfigError where nothing can be submitted."""
    if shutil.which("sbatch") is None:
        raise ConfigError("--cluster: sbatch is not on PATH; run this on a login node of SLURM")
    try:
        import submitit  # noqa: F401  an import here keeps SLURM optional
    except ImportError:
        raise ConfigError(
            "--cluster needs the package submitit: pip install 'xeus[recipe]'"
        ) from None


def lanes_of_job(settings: JobSettings, needs: Needs, conf: Path) -> int:
    """How many processes of units a job has at once; one on several machines has them alone."""
    gpus = needs.gpus
    available = settings.gpus_per_node or gpus
    if available < gpus:
        raise ConfigError(f"{conf}: gpu: gpus_per_node is {available}, but a unit uses {gpus} GPUs")
    if needs.nodes > 1:
        return 1
    return available // gpus if gpus else settings.cpus_per_task


def pack(packs: Sequence[Any], array_size: int, lanes: int) -> list[list[Any]]:
    """The jobs' shares: at least ``lanes`` neighbours each, at most ``array_size`` of them."""
    each = max(lanes, -(-len(packs) // array_size))
    return [list(packs[begin : begin + each]) for begin in range(0, len(packs), each)]


def submit(
    shares: list[list[list[Path]]], lanes: int, settings: JobSettings, conf: Path, nj: int,
    needs: Needs,
) -> list[Any]:  # fmt: skip
    """One submitit job for each share of the packs, all in one array.

    Raises:
        ConfigError: sbatch refuses.
    """
    import submitit

    folder = shares[0][0][0].parent.absolute()
    executor = submitit.AutoExecutor(
        folder=folder / "slurm", cluster="slurm", slurm_max_num_timeout=MAX_REQUEUES
    )
    asked = settings.for_submitit()
    if needs.gpus:
        asked = {"gpus_per_node": needs.gpus, **asked}
    if needs.nodes > 1:
        asked |= {"nodes": needs.nodes, "tasks_per_node": 1, "slurm_srun_args": [LAST_TASKS]}
    setup = [*environment(), *asked.pop("slurm_setup", [])]
    executor.update_parameters(
        name=folder.name, slurm_array_parallelism=nj, slurm_setup=setup, **asked
    )
    arguments = [[[str(spec.absolute()) for spec in part] for part in share] for share in shares]
    count = len(shares)
    work = GoingOn(SAVING * settings.slurm_signal_delay_s) if needs.can_go_on else run_share
    try:
        return executor.map_array(work, arguments, [lanes] * count, [needs.gpus] * count)
    except submitit.core.utils.FailedJobError as error:
        line = (str(error).strip().splitlines() or ["no reason given"])[-1]
        raise ConfigError(f"sbatch refused the job: {line}; its settings are in {conf}") from None


def environment() -> list[str]:
    """Shell lines that give a job what a local unit has, whatever the cluster hands on."""
    path = f"export PYTHONPATH={shlex.quote(str(REPOSITORY))}${{PYTHONPATH:+:$PYTHONPATH}}"
    return [path, *(f"export {name}=1" for name in THREAD_VARIABLES)]


@contextlib.contextmanager
def cancelled_if_interrupted(array: str) -> Iterator[None]:
    """Cancel the array when the wait for it is broken off."""
    try:
        yield
    except BaseException:
        log(f"cancelling SLURM job {array}")
        subprocess.run(["scancel", array], check=False)
        raise


def wait_for(jobs: Sequence[Any], follow: Follower | None) -> None:
    """Return when every job has ended or was lost; says now and then how far they are."""
    waiting, next_news = list(jobs), time.monotonic() + NEWS_S
    while waiting := [job for job in waiting if not job.done()]:
        if follow:
            follow.show()
        elif time.monotonic() > next_news:
            log(f"{len(jobs) - len(waiting)} of {len(jobs)} jobs have ended")
            next_news += NEWS_S
        time.sleep(POLL_S)
    if follow:
        follow.show()


def failures(job: Any, specs: list[Path], conf: Path, deadline: float) -> list[tuple[Path, str]]:
    """(spec, why) of the units that a job that has ended did not do.

    Of several machines the first one's word counts; what the others had to say is added.
    """
    if job.num_tasks > 1:
        others = [job.task(i) for i in range(1, job.num_tasks)]
        said = [trace_end(str(other.exception())) for other in others if has_failed(other)]
        first = failures(job.task(0), specs, conf, deadline)
        return [(spec, "; ".join([why, *said])) for spec, why in first]
    if not has_result(job, deadline):
        return lost(job, specs, job.state.split()[0], conf)
    error = job.exception()
    if error is None:
        by_name = {str(spec.absolute()): spec for spec in specs}
        return [(by_name[name], why) for name, why in job.result()]
    if OUT_OF_TIME in str(error):
        return lost(job, specs, "TIMEOUT", conf)
    return lost(job, specs, trace_end(str(error)), conf)


def has_failed(task: Any) -> bool:
    """Whether one of several tasks left an error behind."""
    return task.paths.result_pickle.exists() and task.exception() is not None


def has_result(job: Any, deadline: float) -> bool:
    """Whether the job wrote one; waits until the deadline where it should have."""
    while not job.paths.result_pickle.exists():
        if job.state.split()[0] not in WROTE_A_RESULT or time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def lost(job: Any, specs: list[Path], state: str, conf: Path) -> list[tuple[Path, str]]:
    """(spec, why) of the units that a job without a result left undone."""
    advice = f"run the same command again; its words are in {job.paths.stderr}"
    if state in ADVICE:
        advice = ADVICE[state].format(conf=conf)
    left = []
    for spec in specs:
        log_file = spec.with_suffix(".log")
        if not was_done(spec):
            begun = f"said last: {last_line(log_file)}" if log_file.exists() else "not begun"
            left.append((spec, f"SLURM job {job.job_id} ended as {state} ({begun}); {advice}"))
    return left


def trace_end(message: str) -> str:
    """The last line of the traceback in submitit's error."""
    lines = [
        line.strip() for line in message.partition("\nYou can check full logs")[0].splitlines()
    ]
    return [line for line in lines if line.strip("-")][-1]
