"""Start units as processes: here, or as SLURM jobs through submitit."""

import shutil
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

from espnet2.utils.config import load_yaml
from espnet2.utils.errors import ConfigError
from espnet2.utils.processes import start

POLL_S = 0.02


def launch(specs: list[Path], args: Namespace) -> list[tuple[Path, str]]:
    """Run ``espnet2.utils.work`` on every spec; returns (spec, last error line) of the failed."""
    return launch_slurm(specs, args) if args.cluster == "slurm" else launch_local(specs, args.nj)


def launch_local(specs: list[Path], nj: int) -> list[tuple[Path, str]]:
    """Up to ``nj`` processes of one thread each; the rest still runs when one fails.

    A lone unit also shows its progress on the terminal.
    """
    waiting, running, failed = list(specs), {}, []
    follow = Follower(specs[0].with_suffix(".log")) if len(specs) == 1 else None
    try:
        while waiting or running:
            while waiting and len(running) < nj:
                spec = waiting.pop(0)
                with open(spec.with_suffix(".log"), "wb") as file:
                    running[spec] = start(work_command(spec), stdout=file, stderr=file)
            time.sleep(POLL_S)
            if follow:
                follow.show()
            for spec in [spec for spec, child in running.items() if child.poll() is not None]:
                if running.pop(spec).returncode != 0:
                    failed.append((spec, last_line(spec.with_suffix(".log"))))
    finally:
        for child in running.values():
            child.kill()
    if follow:
        follow.show()
    return failed


class Follower:
    """Copies what a log file gains to stderr."""

    def __init__(self, path: Path) -> None:
        self.path, self.position = path, 0

    def show(self) -> None:
        """Print what has been added since the last call."""
        with open(self.path, "rb") as file:
            file.seek(self.position)
            text = file.read()
        self.position += len(text)
        if text:
            sys.stderr.write(text.decode("utf-8", "replace"))
            sys.stderr.flush()


def work_command(spec: Path) -> list[str]:
    """The command that does one unit; also what a user runs to redo it."""
    return [sys.executable, "-m", "espnet2.utils.work", str(spec)]


def last_line(path: Path) -> str:
    """The last line of a log that says something."""
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if lines:
        return lines[-1]
    if shutil.disk_usage(path.parent).free < 2**20:  # then the log could not be written either
        return "the disk is full; free some space and run the same command again"
    return "ended without a word (killed, or out of memory)"


def launch_slurm(specs: list[Path], args: Namespace) -> list[tuple[Path, str]]:
    """One job array through submitit, at most ``nj`` jobs at a time.

    Raises:
        ConfigError: no sbatch here, submitit is not installed, or no settings of the cluster.
    """
    if shutil.which("sbatch") is None:
        raise ConfigError("--cluster slurm: sbatch is not on PATH; run this on a login node")
    try:
        import submitit  # an import here keeps SLURM optional
    except ImportError:
        raise ConfigError(
            "--cluster slurm needs the package submitit: pip install submitit"
        ) from None
    settings = load_yaml(args.cluster_conf) if args.cluster_conf else {}
    executor = submitit.AutoExecutor(folder=specs[0].parent / "slurm", cluster="slurm")
    executor.update_parameters(slurm_array_parallelism=args.nj, **settings)
    jobs = executor.map_array(run_spec, [str(spec) for spec in specs])
    failed = []
    for spec, job in zip(specs, jobs, strict=True):
        if job.exception() is not None:
            log_file = spec.with_suffix(".log")
            failed.append((spec, last_line(log_file) if log_file.exists() else "never started"))
    return failed


def run_spec(spec: str) -> None:
    """Do one unit inside a SLURM job, with the unit's own log file."""
    with open(Path(spec).with_suffix(".log"), "wb") as file:
        subprocess.run(work_command(Path(spec)), check=True, stdout=file, stderr=file)
