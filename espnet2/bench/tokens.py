"""Pseudo-labels: what they cost beside the teacher alone, in memory, and beside espnet's way.

Speed: labelling against the teacher's bare forward. Memory: both stages against the size of the
corpus. Sides: time, disk and memory beside espnet's dumped features. Nearest: cluster assignment
beside scikit-learn.
"""

from __future__ import annotations

import argparse

from espnet2.bench.parts import Parts, add_part_options, run_parts
from espnet2.bench.table import Table
from espnet2.bench.tokens_memory import memory_tables
from espnet2.bench.tokens_sides import side_tables
from espnet2.bench.tokens_speed import nearest_tables, speed_tables

PARTS: Parts = {
    "speed": speed_tables,
    "nearest": nearest_tables,
    "sides": side_tables,
    "memory": memory_tables,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``bench tokens``."""
    add_part_options(parser, PARTS, rounds=3)


def run(args: argparse.Namespace) -> list[Table]:
    """The tables of the parts that were asked for."""
    return run_parts(args, PARTS)
