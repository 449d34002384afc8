"""What a million hours ask of the data part: scale, loader, formatting.

Scale: synthetic indexes of up to 10^8 rows, each opened and planned in a fresh process. Loader:
whole batches beside lhotse's and ESPnet's. Format: stage 2 on the kinds of audio that come in.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from espnet2.bench.data_format import format_tables
from espnet2.bench.data_loader import loader_tables
from espnet2.bench.data_scale import scale_tables
from espnet2.bench.model import PEER_PYTHON
from espnet2.bench.table import Table
from espnet2.utils.cli import positive

PARTS: dict[str, Callable[[argparse.Namespace, Path], list[Table]]] = {
    "scale": scale_tables,
    "loader": loader_tables,
    "format": format_tables,
}
MOST_ROWS = 10**8


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``bench data``."""
    parser.add_argument(
        "--only", action="append", choices=PARTS, metavar="PART",
        help=f"one of {', '.join(PARTS)}; may be given again; default: all",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=positive, default=5, help="times each side is measured (default: 5)"
    )
    parser.add_argument(
        "--tiny", action="store_true", help="little of everything: shows that it runs"
    )
    parser.add_argument(
        "--max_rows", type=positive, default=MOST_ROWS, metavar="N",
        help="largest index (default: 100,000,000, some 15 GB of scratch; with --tiny 100,000)",
    )  # fmt: skip
    parser.add_argument(
        "--scratch", type=Path, metavar="DIR",
        help="folder for a temporary folder with all that is written (default: the system's)",
    )  # fmt: skip
    parser.add_argument(
        "--dump", type=Path, metavar="DIR",
        help="dump folder of a recipe with the speech of loader and format (default: the mini "
        "recipe's, or else synthetic voices)",
    )  # fmt: skip
    parser.add_argument(
        "--plot", type=Path, metavar="FILE",
        help="PNG of memory and latency against rows (default: bench_data.png beside the saved "
        "tables)",
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


@contextlib.contextmanager
def scratch_folder(parent: Path | None) -> Iterator[Path]:
    """A folder that is deleted at the end."""
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench_data_", dir=parent) as folder:
        yield Path(folder).absolute()
