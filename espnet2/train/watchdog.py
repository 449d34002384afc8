"""A rank that stands still ends the whole job with one line, instead of holding its GPUs for days.

Every rank has a thread that looks whether its loop still makes steps. Peers that only wait for a
hung rank stand still, too, so each rank tells the others through the store of their process group
how far it is; the first to run out of patience names the rank that is behind.
"""

import contextlib
import dataclasses
import datetime
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import distributed

from espnet2.train.distributed import World
from espnet2.train.launch import STILL

STATUS = 70  # exit status: EX_SOFTWARE of sysexits.h
STORE_S = 5.0  # how long the store may take to answer: it may be what hangs
LOOKS = 20  # looks within the time limit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sign:
    """What a rank last let the others know."""

    beats: int
    """How often its loop has come forward."""

    looks: int
    """How often its watchdog has looked; stands still where the whole process does."""

    word: str
    """Its last word."""

    host: str
    """The machine it is on."""

    pid: int
    """Its process."""


class Watchdog:
    """Inside ``with``: without a ``beat`` for ``timeout_s`` seconds the process and its job end."""

    def __init__(self, world: World, timeout_s: float) -> None:
        self.world, self.timeout_s = world, timeout_s
        self.pause_s = min(timeout_s / LOOKS, 10.0)
        self.beats, self.looks, self.word, self.last = 0, 0, "nothing yet", time.monotonic()
        self.over = threading.Event()
        self.store = None

    def __enter__(self) -> "Watchdog":
        self.store = own_store() if self.world.size > 1 else None
        self.thread = threading.Thread(target=self.watch, name="watchdog", daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        self.thread.join()
        if self.store is not None:
            within(STORE_S, self.leave)

    def beat(self, word: str) -> None:
        """The loop came forward; ``word`` says where it is now."""
        self.beats, self.word, self.last = self.beats + 1, word, time.monotonic()

    def watch(self) -> None:
        """The thread: tells the others how far this rank is, and ends the process in the end."""
        while not self.over.wait(self.pause_s):
            self.look()
            if time.monotonic() - self.last > self.timeout_s and not self.over.is_set():
                self.end()

    def look(self) -> None:
        """Let the others know that this process is alive."""
        self.looks += 1
        if self.store is not None:
            within(STORE_S, self.tell)

    def sign(self) -> Sign:
        """This rank's."""
        return Sign(
            beats=self.beats, looks=self.looks, word=self.word,
            host=socket.gethostname(), pid=os.getpid(),
        )  # fmt: skip

    def tell(self) -> None:
        """Put this rank's sign into the store."""
        text = json.dumps(dataclasses.asdict(self.sign()))
        self.store.set(f"watchdog/{self.world.rank}", text)

    def leave(self) -> None:
        """Take the sign back: who has come to the end holds nobody up."""
        self.store.delete_key(f"watchdog/{self.world.rank}")

    def hear(self) -> dict[int, Sign]:
        """The signs of all ranks that ever gave one."""
        keys = {rank: f"watchdog/{rank}" for rank in range(self.world.size)}
        present = {rank: key for rank, key in keys.items() if self.store.check([key])}
        return {rank: Sign(**json.loads(self.store.get(key))) for rank, key in present.items()}

    def end(self) -> None:
        """Say which rank holds the others up, kill the peers on this machine, and go.

        One rank speaks for all; the others give it time to. A stopped peer would not hear a
        polite signal.
        """
        signs = self.signs()
        if self.store is not None and within(STORE_S, self.is_first_to_end) is False:
            time.sleep(STORE_S)
        else:
            rank = most_behind(signs)
            say(
                f"{name(rank, self.world.size, signs[rank])} {STILL} {self.timeout_s:g} s; its "
                f"last word: {signs[rank].word}; the same command goes on from the last checkpoint"
            )
        for rank, sign in signs.items():
            if rank != self.world.rank and sign.host == socket.gethostname():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(sign.pid, signal.SIGKILL)
        os._exit(STATUS)

    def signs(self) -> dict[int, Sign]:
        """The ranks' signs, those of stopped processes with beats of -1; own ones at the least."""
        own = {self.world.rank: self.sign()}
        if self.store is None:
            return own
        before = within(STORE_S, self.hear) or {}
        for _ in range(3):  # others may be doing the same: who is silent now is stopped
            time.sleep(self.pause_s)
            self.look()
        after = within(STORE_S, self.hear) or {}
        for rank, sign in before.items():
            if rank != self.world.rank and sign == after.get(rank):
                after[rank] = dataclasses.replace(sign, beats=-1)
        return {**after, **own}

    def is_first_to_end(self) -> bool:
        """Whether no other rank has spoken."""
        return self.store.add("watchdog/ended", 1) == 1


def own_store() -> distributed.TCPStore:
    """A connection of our own to the group's store: the group's may be busy waiting."""
    return distributed.TCPStore(
        os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False,
        timeout=datetime.timedelta(seconds=STORE_S),
    )  # fmt: skip


def most_behind(signs: dict[int, Sign]) -> int:
    """The rank the others wait for: one that is stopped, else the one that came least far."""
    return min(signs, key=lambda rank: (signs[rank].beats, rank))


def name(rank: int, size: int, sign: Sign) -> str:
    """A rank in words that let a person find it."""
    return f"rank {rank} of {size} ({sign.host}, pid {sign.pid})"


def say(message: str) -> None:
    """One line on stderr, whatever the main thread is doing with it."""
    line = f"{Path(sys.argv[0]).stem}: error: {message}\n"
    os.write(2, line.encode())


def within(limit_s: float, function: Callable[[], Any]) -> Any:
    """What ``function`` returns, or None where it fails or takes longer than ``limit_s``."""
    result = []

    def call() -> None:
        with contextlib.suppress(Exception):  # a dead store must not keep the watchdog from its job
            result.append(function())

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(limit_s)
    return result[0] if result else None
