"""torchrun for this project's commands: ``python3 -m espnet2.train.agent OPTIONS PROGRAM …``.

Takes torchrun's options and starts the ranks as torchrun does. What went wrong is said in one line
instead of a table: which rank ended first, and how.
"""

import logging
import signal
import sys
from argparse import Namespace

from torch.distributed.elastic.multiprocessing.api import PContext, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.run import parse_args, run

from espnet2.train.launch import ENDED, KILLED
from espnet2.utils.cli import run_main
from espnet2.utils.errors import XeusError

STOP_S = 120  # how long ranks may take to write a checkpoint after a stop signal


def main() -> None:
    """Start the ranks and wait for their end.

    Raises:
        XeusError: a rank failed.
    """
    for number in (signal.SIGUSR1, signal.SIGUSR2):  # a cluster's; they are for other processes
        signal.signal(number, signal.SIG_IGN)
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        options = parse_args(sys.argv[1:])
        wait_for_checkpoints(options)
        run(options)
    except ChildFailedError as error:
        rank, failure = first_failure(error)
        raise XeusError(how_it_ended(rank, failure)) from None
    except SignalException as stop:
        raise XeusError(f"the ranks were stopped by {signal.Signals(stop.sigval).name}") from None


def wait_for_checkpoints(options: Namespace) -> None:
    """Give the ranks ``STOP_S`` seconds after a stop signal; torchrun alone kills them after 30.

    It has an option for that since torch 2.12. Before, its agent waits as ``PContext.close`` does
    by itself, which is given the signal when the agent asks, and none when a rank has failed.
    """
    if hasattr(options, "shutdown_timeout"):
        options.shutdown_timeout = STOP_S
        return
    close = PContext.close

    def patient_close(
        context: PContext, death_sig: signal.Signals | None = None, timeout: int = 30
    ) -> None:
        close(context, death_sig, timeout if death_sig is None else STOP_S)

    PContext.close = patient_close


def first_failure(error: ChildFailedError) -> tuple[int, ProcessFailure]:
    """The rank that brought the others down: those ended by SIGTERM were stopped after it."""
    failures = error.failures.items()
    return min(failures, key=lambda pair: (pair[1].exitcode == -signal.SIGTERM, pair[1].timestamp))


def how_it_ended(rank: int, failure: ProcessFailure) -> str:
    """One line for a person."""
    if failure.exitcode >= 0:
        return f"rank {rank} {ENDED} {failure.exitcode}; its last words are above"
    reason = " (out of memory?)" if failure.exitcode == -signal.SIGKILL else ""
    return (
        f"rank {rank} (pid {failure.pid}) {KILLED} {failure.signal_name()}{reason}; the same "
        "command goes on from the last checkpoint"
    )


if __name__ == "__main__":
    run_main(main)
