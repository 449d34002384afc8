"""Checks that run in processes of their own: a broken driver may hang or kill what asks it."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from espnet2.utils.processes import start


def ask(module: str, *words: str, limit_s: float) -> tuple[Any, str]:
    """What ``python -m module`` prints as JSON, or None and why not, in one line."""
    return answers([[module, *words]], limit_s)[0]


def answers(commands: list[list[str]], limit_s: float) -> list[tuple[Any, str]]:
    """``ask`` of several that need each other, together; one limit for each of them."""
    children = [
        start([sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
              text=True)
        for command in commands
    ]  # fmt: skip
    # All are read at once: one with a full pipe would keep the others waiting.
    with ThreadPoolExecutor(len(children)) as readers:
        try:
            return list(readers.map(partial(answer, limit_s=limit_s), children))
        finally:
            for child in children:
                child.kill()
                child.wait()


def answer(child: subprocess.Popen, limit_s: float) -> tuple[Any, str]:
    """A child's last line that is an object of JSON; or None and its last error line.

    Other lines are of libraries: NCCL_DEBUG=INFO writes to stdout, even at the very end.
    """
    try:
        out, err = child.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        return None, f"no answer in {limit_s:.0f} s"
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if child.returncode == 0 and lines:
        return json.loads(lines[-1]), ""
    errors = [line for line in err.splitlines() if line.strip()]
    return None, errors[-1].strip() if errors else f"exit status {child.returncode}"
