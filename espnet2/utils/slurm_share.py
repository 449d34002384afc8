"""What runs inside a SLURM job: its share of the units, as ``launch_local`` does units anywhere.

A unit on several machines is done by the first; the others run the same function without a marker.
"""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from espnet2.utils.errors import XeusError
from espnet2.utils.lanes import make_lanes
from espnet2.utils.launch_local import last_line, launch_local, work_command
from espnet2.utils.processes import start, stop_children

TERMINATED = 128 + signal.SIGTERM  # exit status


def run_share(packs: list[list[str]], lanes: int, gpus: int) -> list[tuple[str, str]]:
    """Do the units; returns (spec, last error line) of the failed."""
    if int(os.environ.get("SLURM_NODEID", 0)) > 0:
        return take_part(Path(packs[0][0]))
    failed = launch_local([[Path(s) for s in part] for part in packs], make_lanes(lanes, gpus))
    return [(str(spec), why) for spec, why in failed]


def take_part(spec: Path) -> list[tuple[str, str]]:
    """Join the unit that the job's first machine does; says what it has to say in its own log.

    Raises:
        XeusError: it ended badly here.
    """
    node = os.environ["SLURM_NODEID"]
    log_file = spec.with_name(f"{spec.stem}.node{node}.log")
    with open(log_file, "wb") as file:
        child = start(work_command(spec, "--join"), stdout=file, stderr=subprocess.STDOUT)
        if child.wait():
            raise XeusError(
                f"node {node} ({os.environ.get('SLURMD_NODENAME')}): "
                f"{last_line(log_file)}; log {log_file}"
            )
    return []


class GoingOn:
    """``run_share`` of units that save their state when asked to stop, and go on from there."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s  # how long saving may take

    def __call__(self, packs: list[list[str]], lanes: int, gpus: int) -> list[tuple[str, str]]:
        """Do the units; a SIGTERM (preemption, scancel) ends them with their state saved.

        It leaves no result behind: whether the job runs again is for SLURM to decide.
        """
        signal.signal(signal.SIGTERM, self.end)
        return run_share(packs, lanes, gpus)

    def end(self, number: int, frame: object) -> None:
        """The handler of SIGTERM."""
        stop_children(self.limit_s)
        raise SystemExit(TERMINATED)

    def checkpoint(self, *arguments: Any) -> Any:
        """What to run when the job's turn comes again; submitit asks when its time is nearly up."""
        import submitit  # an import here keeps SLURM optional

        stop_children(self.limit_s)
        return submitit.helpers.DelayedSubmission(self, *arguments)
