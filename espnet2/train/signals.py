"""Signals: a polite request to stop ends a run after the step it is in, with a checkpoint."""

import contextlib
import os
import signal
from pathlib import Path

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopSignal:
    """Inside ``with``: one of ``STOP_SIGNALS`` is remembered instead of ending the process."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> "StopSignal":
        self.before = {number: signal.signal(number, self.remember) for number in STOP_SIGNALS}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def remember(self, number: int, frame: object) -> None:
        """The handler."""
        self.requested = True


def forward_to_children(number: int, frame: object) -> None:
    """A handler that hands the signal on to every child and lets this process wait for them."""
    children = Path("/proc/self/task").glob("*/children")
    for pid in {int(pid) for path in children for pid in path.read_text().split()}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
