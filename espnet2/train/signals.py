"""Signals: a polite request to stop ends a run after the step it is in, with a checkpoint."""

import signal

from espnet2.train.launch import STOP_SIGNALS


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
