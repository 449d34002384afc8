"""Pseudo-labels: what they cost beside the teacher alone, in memory, and beside espnet's way.

Speed: labelling against the teacher's bare forward. Memory: both stages against the size of the
corpus. Sides: time, disk and memory beside espnet's dumped features. Nearest: cluster assignment
beside scikit-learn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from espnet2.bench.data import scratch_folder
from espnet2.bench.model import PEER_PYTHON
from espnet2.bench.table import Table
from espnet2.bench.tokens_memory import memory_tables
from espnet2.bench.tokens_sides import side_tables
from espnet2.bench.tokens_speed import nearest_tables, speed_tables
from espnet2.utils.cli import positive

PARTS: dict[str, Callable[[argparse.Namespace, Path], list[Table]]] = {
    "speed": speed_tables,
    "nearest": nearest_tables,
    "sides": side_tables,
    "memory": memory_tables,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``bench tokens``."""
    parser.add_argument(
        "--only", action="append", choices=PARTS, metavar="PART",
        help=f"one of {', '.join(PARTS)}; may be given again; default: all",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=positive, default=3,
        help="times labelling and assignment are measured (default: 3)",
    )  # fmt: skip
    parser.add_argument(
        "--tiny", action="store_true", help="little of everything: shows that it runs"
    )
    parser.add_argument(
        "--scratch", type=Path, metavar="DIR",
        help="folder for a temporary folder with all that is written (default: the system's)",
    )  # fmt: skip
    parser.add_argument(
        "--dump", type=Path, metavar="DIR",
        help="dump folder of a recipe with the speech to label (default: the mini recipe's, or "
        "else synthetic voices)",
    )  # fmt: skip
    parser.add_argument(
        "--peer_python", type=Path, default=PEER_PYTHON, metavar="FILE",
        help="interpreter that finds the other espnet2 (default: tools/espnet_venv/bin/python3)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> list[Table]:
    """The tables of the parts that were asked for."""
    with scratch_folder(args.scratch) as scratch:
        tables = []
        for name in args.only or PARTS:
            folder = scratch / name
            folder.mkdir()
            tables += PARTS[name](args, folder)
    return tables
