"""A training run that takes turns with others: stopped and continued by signals, read from its log.

Nothing is added to its loop. It writes its log lines to a pipe, and a stopped process (all of its
session, loaders too) takes no time from whose turn it is. The first interval of a turn holds the
stop and brings the caches back, so it is left out; the clock is the same for every side.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from espnet2.train.metrics import read_metrics
from espnet2.utils.errors import ConfigError
from espnet2.utils.processes import die_with_parent, one_thread_environment
from espnet2.utils.provenance import REPOSITORY

OUR_LINE = re.compile(r": step (\d+)/")
PEER_LINE = re.compile(r"epoch:train:\d+-(\d+)batch: (.*)")
PEER_FIELD = re.compile(r"(iter_time|train_time)=([-+.e\d]+)")  # commas between fields may lack
PEER_PARAMETERS = re.compile(r"(Total|Number of trainable).* parameters: ([\d.]+) ?([KM]?)")
UNITS = {"": 1, "K": 1e3, "M": 1e6}


@dataclass(frozen=True, kw_only=True)
class Interval:
    """What a side said at the end of a logging interval."""

    at: float
    """When, on this process's clock."""

    step: int
    """Steps made so far."""

    data_wait: float
    """Share of the interval's time spent waiting for data."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """The timed part of a turn."""

    seconds: float
    """Wall-clock time of the whole loop."""

    steps: int
    """Steps of the optimiser in it."""

    data_wait: float
    """Share of the time spent waiting for data."""

    cpu_s: float
    """Processor time of the training process."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Most memory of a run, in bytes."""

    trainer: int
    """Resident in the training process."""

    once: int
    """That, and what its loader and launcher have for themselves: no page counts twice."""

    added_up: int
    """Resident in all processes, with what they share counted in each."""


class Run:
    """One side's trainer, started and warmed up by ``begin``; a context manager.

    ``python`` runs ``command``. ``exp``: the folder of our experiment; None for ESPnet's trainer.
    """

    def __init__(self, name: str, python: Path, command: list[str], exp: Path | None) -> None:
        if not python.is_file():
            raise ConfigError(
                f"{python} is not there: install the reference with tools/install.sh "
                f"--with_espnet, or give --peer_python"
            )
        self.name, self.exp, self.words = name, exp, ""
        self.parameters = self.trainable = None  # of ESPnet's model, as it prints them
        environment = one_thread_environment()
        environment.pop("PYTHONPATH", None)
        if exp is not None:
            environment["PYTHONPATH"] = str(REPOSITORY)
        self.process = subprocess.Popen(
            [str(python), "-P", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", cwd="/", env=environment, preexec_fn=die_with_parent,
            start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        self.signal(signal.SIGKILL)
        self.process.stdout.close()
        self.process.wait()

    def begin(self, intervals: int) -> None:
        """Wait until so many intervals are over, then stop."""
        for _ in range(intervals):
            self.next_interval()
        self.signal(signal.SIGSTOP)

    def turn(self, intervals: int) -> Turn:
        """Go on for one interval that is not timed and ``intervals`` that are, then stop."""
        self.signal(signal.SIGCONT)
        first = self.next_interval()
        trainer = self.trainer()
        cpu_s = cpu_seconds(trainer)
        rest = [self.next_interval() for _ in range(intervals)]
        cpu_s = cpu_seconds(trainer) - cpu_s
        self.signal(signal.SIGSTOP)
        times = [first.at, *(interval.at for interval in rest)]
        waited_s = sum(
            interval.data_wait * (interval.at - before)
            for interval, before in zip(rest, times[:-1], strict=True)
        )
        seconds = rest[-1].at - first.at
        return Turn(
            seconds=seconds,
            steps=rest[-1].step - first.step,
            data_wait=waited_s / seconds,
            cpu_s=cpu_s,
        )

    def finish(self) -> None:
        """Wait for the end of the run. Raises ConfigError with its last line where it fails."""
        for line in self.process.stdout:
            self.words = line.strip() or self.words
        if self.process.wait():
            raise ConfigError(f"{self.name}: training failed: {self.words}")

    def next_interval(self) -> Interval:
        """The next interval that the log tells of.

        Raises ConfigError with the last line of its output when the run ends instead.
        """
        for line in self.process.stdout:
            self.words = line.strip() or self.words
            if self.exp is not None and (found := OUR_LINE.search(line)):
                return self.ours(time.perf_counter(), int(found[1]))
            if self.exp is None and (found := PEER_LINE.search(line)):
                return peers(time.perf_counter(), found)
            if found := PEER_PARAMETERS.search(line):
                count = float(found[2]) * UNITS[found[3]]
                if found[1] == "Total":
                    self.parameters = count
                else:
                    self.trainable = count
        raise ConfigError(f"{self.name}: training ended: {self.words}")

    def ours(self, at: float, step: int) -> Interval:
        """Our own interval, with what ``metrics.jsonl`` says of it."""
        row = next(
            row
            for row in reversed(read_metrics(self.exp / "metrics.jsonl"))
            if row["split"] == "train" and row["step"] == step
        )
        return Interval(at=at, step=step, data_wait=row["data_wait"])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the trainer and all that it started."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def processes(self) -> list[int]:
        """All of its session: loaders may have a process group of their own."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(int(folder.name)) == self.process.pid:
                    found.append(int(folder.name))
        return found

    def memory(self) -> Memory:
        """Highest resident sizes so far; private pages of loaders as they are now."""
        peaks, trainer = self.peaks(), self.trainer()
        others = sum(private_bytes(pid) for pid in peaks if pid != trainer)
        return Memory(
            trainer=peaks[trainer], once=peaks[trainer] + others, added_up=sum(peaks.values())
        )

    def peaks(self) -> dict[int, int]:
        """Highest resident size so far of each process, in bytes, by its number."""
        sizes = {}
        for pid in self.processes():
            with contextlib.suppress(OSError):
                sizes[pid] = high_water(Path(f"/proc/{pid}/status"))
        return sizes

    def trainer(self) -> int:
        """The process that trains: the one that worked the most.

        Not the largest: a loader that maps features may grow more.
        """
        worked = {}
        for pid in self.processes():
            with contextlib.suppress(OSError):
                worked[pid] = cpu_seconds(pid)
        return max(worked, key=worked.__getitem__)


def peers(at: float, found: re.Match) -> Interval:
    """ESPnet's interval: its means over the steps since the last line."""
    fields = dict(PEER_FIELD.findall(found[2]))
    share = float(fields["iter_time"]) / float(fields["train_time"])
    return Interval(at=at, step=int(found[1]), data_wait=share)


def high_water(status: Path) -> int:
    """VmHWM of a process in bytes; 0 for one that is just ending."""
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def private_bytes(process: int) -> int:
    """Resident memory that a process shares with no other; 0 of one that has ended."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return 0


def cpu_seconds(process: int) -> float:
    """Processor time of all threads of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def starved_note(rounds: list[dict[str, Turn]]) -> str:
    """How much of the timed turns other work on the machine took from the trainers."""
    turns = [turn for each in rounds for turn in each.values()]
    wall_s, cpu_s = (sum(getattr(turn, key) for turn in turns) for key in ("seconds", "cpu_s"))
    return (
        f"The training processes had no processor for {max(0.0, 1 - cpu_s / wall_s):.0%} of the "
        "time; above a few per cent the machine was busy, and the figures are worth less."
    )
