"""Start the ranks of a training step; imports no torch, so that asking costs nothing."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from espnet2.utils.errors import XeusError
from espnet2.utils.processes import start
from espnet2.utils.work import load_entry, typed

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
DIED = re.compile(r"failed \(exitcode: (-?\d+)\) local_rank: (\d+)")  # torchrun's words
STOP_S = 120  # how long ranks may take to write a checkpoint after a stop signal


def launch(entry: str, kwargs: dict[str, Any], ranks: int) -> Any:
    """Call ``entry`` here, or in ``ranks`` ranks of a job.

    The work of a unit whose result does not depend on how many ranks share it.
    """
    if ranks > 1:
        job = json.dumps({"entry": entry, "kwargs": kwargs})
        run_ranks(["-m", "espnet2.train.rank", job], ranks)
        return None
    function = load_entry(entry)
    return function(**typed(function, kwargs))


def torchrun_command(nproc: int) -> list[str]:
    """``torchrun`` on this machine alone; append a script (or ``-m module``) and its arguments.

    The loopback address is given because looking up the host's own name fails on many machines.
    """
    return [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--local_addr=127.0.0.1",
        f"--nproc_per_node={nproc}", f"--shutdown_timeout={STOP_S}",
    ]  # fmt: skip


def run_ranks(program: list[str], nproc: int) -> None:
    """Run ``program`` as ``nproc`` ranks; the first stop signal is handed on to them.

    They run in a session of their own: a terminal's Ctrl-C reaches them once, through here, and
    torchrun takes a second signal as an order to kill.

    Raises:
        XeusError: a rank failed; holds the rank's own last error line.
    """
    command = [*torchrun_command(nproc), *program]
    child = start(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    handed_on = []

    def hand_on(number: int, frame: object) -> None:
        if not handed_on:
            handed_on.append(number)
            child.send_signal(signal.SIGTERM)

    for number in STOP_SIGNALS:
        signal.signal(number, hand_on)
    problem = died = ""
    for line in child.stderr:
        sys.stderr.write(line)
        sys.stderr.flush()
        problem = line.partition(": error: ")[2].strip() or problem
        if found := DIED.search(line):
            died = f"rank {found[2]} ended with exit code {found[1]}; the last checkpoint is good"
    if status := child.wait():
        raise XeusError(problem or died or f"torchrun ended with {status}")


def hand_stop_signals_to_children() -> None:
    """From now on a stop signal goes to every child, and this process waits for their end."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal_children)


def signal_children(number: int, frame: object) -> None:
    """The handler of ``hand_stop_signals_to_children``."""
    children = Path("/proc/self/task").glob("*/children")
    for pid in {int(pid) for path in children for pid in path.read_text().split()}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
