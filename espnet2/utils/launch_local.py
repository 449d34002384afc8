"""Units as processes of this machine."""

import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from espnet2.utils.logs import log
from espnet2.utils.processes import start

POLL_S = 0.02
SAID_EVERY_S = 60.0  # how many of several units have ended


def launch_local(specs: Sequence[Path], at_once: int) -> list[tuple[Path, str]]:
    """Up to ``at_once`` processes of one thread each; the rest still runs when one fails.

    A lone unit also shows its progress on the terminal. Returns (spec, last error line) of the
    failed.
    """
    waiting, running, failed = iter(specs), {}, []
    ended, next_word = 0, time.monotonic() + SAID_EVERY_S
    follow = Follower(specs[0].with_suffix(".log")) if len(specs) == 1 else None
    try:
        while True:
            while len(running) < at_once and (spec := next(waiting, None)):
                with open(spec.with_suffix(".log"), "wb") as file:
                    running[spec] = start(work_command(spec), stdout=file, stderr=file)
            if not running:
                break
            time.sleep(POLL_S)
            if follow:
                follow.show()
            for spec in [spec for spec, child in running.items() if child.poll() is not None]:
                ended += 1
                if running.pop(spec).returncode != 0:
                    failed.append((spec, last_line(spec.with_suffix(".log"))))
            if time.monotonic() > next_word and not follow:
                next_word = time.monotonic() + SAID_EVERY_S
                log(f"{ended:,} of {len(specs):,} units have ended, {len(failed):,} of them failed")
    finally:
        for child in running.values():
            child.kill()
    if follow:
        follow.show()
    return failed


class Follower:
    """Copies what a log file gains to stderr."""

    def __init__(self, path: Path) -> None:
        self.path, self.position = path, 0

    def show(self) -> None:
        """Print what has been added since the last call; a file that is not there yet is empty."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.position)
                text = file.read()
        except FileNotFoundError:
            return
        self.position += len(text)
        if text:
            sys.stderr.write(text.decode("utf-8", "replace"))
            sys.stderr.flush()


def work_command(spec: Path) -> list[str]:
    """The command that does one unit."""
    return [sys.executable, "-m", "espnet2.utils.work", str(spec)]


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
