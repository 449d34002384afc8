"""Start the ranks of a training step; imports no torch, so that asking costs nothing."""

import json
import signal
import subprocess
import sys
from typing import Any

from espnet2.train.slurm import rendezvous_options
from espnet2.utils.errors import XeusError
from espnet2.utils.processes import signal_children, start
from espnet2.utils.work import load_entry, typed

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
ERROR = ": error: "
# What ranks and torchrun say of an end, by how much it explains; "" stands for any other words.
STILL, KILLED, ENDED = "has made no step for", "was killed by", "ended with exit status"
LOST = "has lost the other ranks"
TELLING = (STILL, KILLED, "", LOST, ENDED)


def launch(entry: str, kwargs: dict[str, Any], ranks: int, nodes: int = 1) -> Any:
    """Call ``entry`` here, or in ``ranks`` ranks of a job on each of ``nodes`` machines.

    The work of a unit whose result does not depend on how many ranks share it.
    """
    if ranks * nodes > 1:
        job = json.dumps({"entry": entry, "kwargs": kwargs})
        run_ranks(["-m", "espnet2.train.rank", job], ranks, nodes)
        return None
    function = load_entry(entry)
    return function(**typed(function, kwargs))


def torchrun_command(nproc: int, nodes: int = 1) -> list[str]:
    """torchrun on this machine, alone or as one of several of a SLURM job.

    Append a script (or ``-m module``) and its arguments. Alone the loopback address is given
    because looking up the host's own name fails on many machines.
    """
    where = rendezvous_options(nodes) if nodes > 1 else ["--standalone", "--local_addr=127.0.0.1"]
    return [
        sys.executable, "-m", "espnet2.train.agent", *where, f"--nproc_per_node={nproc}",
    ]  # fmt: skip


def run_ranks(program: list[str], nproc: int, nodes: int = 1) -> None:
    """Run ``program`` as ``nproc`` ranks; the first stop signal is handed on to them.

    They run in a session of their own: a terminal's Ctrl-C reaches them once, through here, and
    torchrun takes a second signal as an order to kill. What they print is shown; of their error
    lines, which each may repeat, the most telling is raised.

    Raises:
        XeusError: a rank failed.
    """
    command = [*torchrun_command(nproc, nodes), *program]
    child = start(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    handed_on = []

    def hand_on(number: int, frame: object) -> None:
        if not handed_on:
            handed_on.append(number)
            child.send_signal(signal.SIGTERM)

    for number in STOP_SIGNALS:
        signal.signal(number, hand_on)
    errors = []
    for line in child.stderr:
        if ERROR in line:
            errors.append(line.partition(ERROR)[2].strip())
            continue
        sys.stderr.write(line)
        sys.stderr.flush()
    if status := child.wait():
        raise XeusError(most_telling(errors) or f"the ranks ended with status {status}")


def most_telling(errors: list[str]) -> str | None:
    """The error that made the others happen: what a watchdog saw, a kill, a rank's own words."""
    places = {error: tell_place(error) for error in errors}
    return min(places, key=places.get, default=None)


def tell_place(error: str) -> int:
    """Where ``error`` stands in ``TELLING``; words that no other entry knows are a rank's own."""
    known = (place for place, words in enumerate(TELLING) if words and words in error)
    return next(known, TELLING.index(""))


def hand_stop_signals_to_children() -> None:
    """From now on a stop signal goes to every child, and this process waits for their end."""
    for number in STOP_SIGNALS:
        signal.signal(number, lambda number, frame: signal_children(number))
