"""ML-SUPERB's probe: training it on a frozen encoder, beside ESPnet's own recipe.

Probe: the same encoder, downstream model, speech, batch and optimiser on both sides; ours with
features made once and kept, and with the encoder run in every step, as ESPnet runs it.
"""

from __future__ import annotations

import argparse

from espnet2.bench.parts import Parts, add_part_options, run_parts
from espnet2.bench.superb_probe import probe_tables
from espnet2.bench.table import Table

PARTS: Parts = {"probe": probe_tables}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``bench superb``."""
    add_part_options(parser, PARTS, rounds=3)


def run(args: argparse.Namespace) -> list[Table]:
    """The tables of the parts that were asked for."""
    return run_parts(args, PARTS)
