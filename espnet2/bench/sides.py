"""The worker process of one side, under its own interpreter."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from espnet2.utils.errors import ConfigError
from espnet2.utils.processes import die_with_parent, one_thread_environment
from espnet2.utils.provenance import REPOSITORY

ANSWER = Path(__file__).with_name("answer.py")
MODEL_SIDE = Path(__file__).with_name("worker.py")
OUR_PACKAGE = REPOSITORY / "espnet2"


class Worker:
    """``answer.py`` with one side's file in a process of one thread; a context manager.

    ``python`` runs it. ``is_ours``: it must find this package; else what is installed there.
    ``log``: file for all that the packages print. ``side``: file with the class ``Side``.
    """

    def __init__(self, python: Path, is_ours: bool, log: Path, side: Path = MODEL_SIDE):
        if not python.is_file():
            raise ConfigError(
                f"{python} is not there: install the reference with tools/install.sh "
                f"--with_espnet, or give --peer_python"
            )
        environment = one_thread_environment()
        environment.pop("PYTHONPATH", None)
        if is_ours:
            environment["PYTHONPATH"] = str(REPOSITORY)
        self.python, self.log = python, log
        with open(log, "w") as output:
            # -P: neither the script's folder nor the current one can hide an installed package
            self.process = subprocess.Popen(
                [str(python), "-P", str(ANSWER), str(side)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, text=True, cwd="/",
                env=environment, preexec_fn=die_with_parent,
            )  # fmt: skip

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """The answer to one request.

        Raises ConfigError with the worker's last line of output when it fails.
        """
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            words = self.log.read_text(errors="replace").strip().splitlines()
            last = words[-1] if words else f"exit status {self.process.wait()}"
            raise ConfigError(f"{do} failed under {self.python}: {last}")
        return json.loads(answer)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()
