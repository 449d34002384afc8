"""What a million hours ask of the data part: scale, loader, formatting.

Scale: synthetic indexes of up to 10^8 rows, each opened and planned in a fresh process. Loader:
whole batches beside lhotse's and ESPnet's. Format: stage 2 on the kinds of audio that come in.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet2.bench.data_format import format_tables
from espnet2.bench.data_loader import loader_tables
from espnet2.bench.data_scale import scale_tables
from espnet2.bench.parts import Parts, add_part_options, run_parts
from espnet2.bench.table import Table
from espnet2.utils.cli import positive

PARTS: Parts = {"scale": scale_tables, "loader": loader_tables, "format": format_tables}
MOST_ROWS = 10**8


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``bench data``."""
    add_part_options(parser, PARTS, rounds=5)
    parser.add_argument(
        "--max_rows", type=positive, default=MOST_ROWS, metavar="N",
        help="largest index (default: 100,000,000, some 15 GB of scratch; with --tiny 100,000)",
    )  # fmt: skip
    parser.add_argument(
        "--plot", type=Path, metavar="FILE",
        help="PNG of memory and latency against rows (default: bench_data.png beside the saved "
        "tables)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> list[Table]:
    """The tables of the parts that were asked for."""
    return run_parts(args, PARTS)
