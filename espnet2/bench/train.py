"""Training: steps a second and memory beside ESPnet's trainer, resuming, and ranks.

Espnet: our loop and the trainer of espnet 202511 in turns. Resume: from start to first step, and
how long a checkpoint holds the loop up. Ranks: one rank and two on the same batches.
"""

from __future__ import annotations

import argparse

from espnet2.bench.parts import Parts, add_part_options, run_parts
from espnet2.bench.table import Table
from espnet2.bench.train_espnet import espnet_tables
from espnet2.bench.train_ranks import rank_tables
from espnet2.bench.train_resume import resume_tables

PARTS: Parts = {"espnet": espnet_tables, "resume": resume_tables, "ranks": rank_tables}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``bench train``."""
    add_part_options(parser, PARTS, rounds=3)


def run(args: argparse.Namespace) -> list[Table]:
    """The tables of the parts that were asked for."""
    return run_parts(args, PARTS)
