"""Units as processes of this machine."""

import dataclasses
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from espnet2.utils.files import read_json
from espnet2.utils.logs import log
from espnet2.utils.markers import read_marker, stands
from espnet2.utils.processes import start

POLL_S = 0.02
SAID_EVERY_S = 60.0  # how many of several units have ended


@dataclasses.dataclass(frozen=True)
class Process:
    """One that is doing a pack of units, one after the other."""

    pack: list[Path]
    lane: dict[str, str]
    child: subprocess.Popen

    def begun(self) -> list[Path]:
        """The specs it has come to: they have a log."""
        return [self.pack[0], *(s for s in self.pack[1:] if s.with_suffix(".log").exists())]


def launch_local(
    packs: Sequence[list[Path]], lanes: Sequence[dict[str, str]]
) -> list[tuple[Path, str]]:
    """One process of one thread a lane, each doing a pack; the rest still runs when one fails.

    lanes: for each the variables that are added to the environment of its processes.

    A process that is killed loses the unit it was in; a new one does the rest of its pack. A lone
    unit also shows its progress on the terminal. Returns (spec, last error line) of the failed.
    """
    waiting, free, failed = deque(packs), list(lanes), []
    running: list[Process] = []
    total, ended, next_word = sum(map(len, packs)), 0, time.monotonic() + SAID_EVERY_S
    follow = Follower(packs[0][0].with_suffix(".log")) if total == 1 else None
    try:
        while waiting or running:
            while waiting and free:
                running.append(begin(waiting.popleft(), free.pop(0)))
            time.sleep(POLL_S)
            if follow:
                follow.show()
            for process in [process for process in running if process.child.poll() is not None]:
                running.remove(process)
                free.append(process.lane)
                begun = process.begun()
                ended += len(begun)
                failed += failures(begun)
                if rest := [spec for spec in process.pack if spec not in begun]:
                    waiting.appendleft(rest)
            if time.monotonic() > next_word and not follow:
                next_word = time.monotonic() + SAID_EVERY_S
                past = [spec for process in running for spec in process.begun()[:-1]]
                bad = len(failed) + len(failures(past))
                log(f"{ended + len(past):,} of {total:,} units have ended, {bad:,} of them failed")
    finally:
        for process in running:
            process.child.kill()
    if follow:
        follow.show()
    return failed


def begin(pack: list[Path], lane: dict[str, str]) -> Process:
    """Start the process of a pack; it opens the logs of all but the first itself."""
    for spec in pack[1:]:
        spec.with_suffix(".log").unlink(missing_ok=True)
    with open(pack[0].with_suffix(".log"), "wb") as file:
        return Process(pack, lane, start(work_command(*pack), lane, stdout=file, stderr=file))


def failures(specs: list[Path]) -> list[tuple[Path, str]]:
    """(spec, last error line) of the units that are over and not done."""
    return [(spec, last_line(spec.with_suffix(".log"))) for spec in specs if not was_done(spec)]


def was_done(spec: Path) -> bool:
    """Whether the unit of a spec has its marker, whatever became of the process."""
    about = read_json(spec)
    marker = Path(about["directory"], about["marker"])
    return stands(read_marker(marker), marker, about["fingerprint"])


class Follower:
    """Copies what a log file gains to stderr."""

    def __init__(self, path: Path) -> None:
        self.path, self.position = path, 0

    def show(self) -> None:
        """Print what has been added since the last call; a file that is not there yet is empty."""
        try:
            with open(self.path, "rb") as file:
                if os.fstat(file.fileno()).st_size < self.position:  # a job that begins once more
                    self.position = 0
                file.seek(self.position)
                text = file.read()
        except FileNotFoundError:
            return
        self.position += len(text)
        if text:
            sys.stderr.write(text.decode("utf-8", "replace"))
            sys.stderr.flush()


def work_command(*words: Path | str) -> list[str]:
    """The command that does one unit, or several one after the other; options may be among them."""
    return [sys.executable, "-m", "espnet2.utils.work", *map(str, words)]


def redo_command(spec: Path) -> str:
    """``work_command`` for a person to paste, in whatever directory."""
    return shlex.join(work_command(spec.absolute()))


def last_line(path: Path) -> str:
    """The last line of a log that says something."""
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if lines:
        return lines[-1].strip()
    if shutil.disk_usage(path.parent).free < 2**20:  # then the log could not be written either
        return "the disk is full; free some space and run the same command again"
    return "ended without a word (killed, or out of memory)"
