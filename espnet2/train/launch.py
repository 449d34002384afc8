"""Start the ranks of a training step; imports no torch, so that asking costs nothing."""

import signal
import subprocess
import sys

from espnet2.utils.errors import XeusError
from espnet2.utils.processes import start

STOP_S = 120  # how long ranks may take to write a checkpoint after a stop signal


def torchrun_command(nproc: int) -> list[str]:
    """``torchrun`` on this machine alone; append a script (or ``-m module``) and its arguments.

    The loopback address is given because looking up the host's own name fails on many machines.
    """
    return [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--local_addr=127.0.0.1",
        f"--nproc_per_node={nproc}", f"--shutdown_timeout={STOP_S}",
    ]  # fmt: skip


def run_ranks(module: str, arguments: list[str], nproc: int) -> None:
    """Run ``python3 -m module`` as ``nproc`` ranks; a stop signal is handed on to them.

    Raises:
        XeusError: a rank failed; holds the rank's own last error line.
    """
    command = [*torchrun_command(nproc), "-m", module, *arguments]
    child = start(command, stderr=subprocess.PIPE, text=True)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda *_: child.send_signal(signal.SIGTERM))
    problem = ""
    for line in child.stderr:
        sys.stderr.write(line)
        sys.stderr.flush()
        problem = line.partition(": error: ")[2].strip() or problem
    if status := child.wait():
        raise XeusError(problem or f"the ranks of {module} ended with status {status}")
