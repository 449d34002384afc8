"""Lanes: what runs side by side on one machine, and how units are dealt to them.

A lane is the environment variables of its processes, of which there is one at a time.
"""

import itertools
import os
import re
import subprocess
from collections.abc import Sequence
from typing import Any

from espnet2.utils.errors import ConfigError

VISIBLE = "CUDA_VISIBLE_DEVICES"
DEVICE = re.compile(r"\d+|(GPU|MIG)-.+")  # CUDA ignores whatever follows a name of another form
PACKS_A_LANE = 4  # of several lanes: none waits long for the others' last packs


def deal(specs: Sequence[Any], lanes: int, together: int) -> list[list[Any]]:
    """Packs of neighbours, each for one process: at most ``together``, fewer where units are few.

    A lone lane waits for nobody: its packs are as large as they may be.
    """
    size = min(together, -(-len(specs) // (PACKS_A_LANE * lanes))) if lanes > 1 else together
    return [list(specs[begin : begin + size]) for begin in range(0, len(specs), size)]


def make_lanes(count: int, gpus: int) -> list[dict[str, str]]:
    """``count`` lanes; of several that use ``gpus`` GPUs each has its own.

    A lone lane sees all there are. Raises ConfigError where the GPUs do not suffice.
    """
    if gpus == 0 or count == 1:
        return [{} for _ in range(count)]
    names = visible_gpus(count * gpus)
    return [{VISIBLE: ",".join(names[i * gpus : (i + 1) * gpus])} for i in range(count)]


def visible_gpus(needed: int) -> list[str]:
    """Names of the GPUs this process may use: numbers or UUIDs.

    Raises:
        ConfigError: there are fewer than ``needed``.
    """
    if VISIBLE in os.environ:
        words = [word.strip() for word in os.environ[VISIBLE].split(",")]
        names, where = list(itertools.takewhile(DEVICE.fullmatch, words)), f"{VISIBLE} names"
    else:
        names, where = [str(i) for i in range(count_gpus() or needed)], "this machine has"
    if len(names) < needed:
        raise ConfigError(f"{needed} GPUs are asked for, but {where} {len(names)}; ask for fewer")
    return names


def count_gpus() -> int:
    """GPUs that NVIDIA's own tool lists; 0 where it is not there to say."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
