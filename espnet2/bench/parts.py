"""Benchmarks that consist of parts: the options they share, and a folder for what they write."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from espnet2.bench.model import PEER_PYTHON
from espnet2.bench.table import Table
from espnet2.utils.cli import positive

Parts = dict[str, Callable[[argparse.Namespace, Path], list[Table]]]  # by name, in order


def add_part_options(parser: argparse.ArgumentParser, parts: Parts, rounds: int) -> None:
    """The options of every such benchmark; ``rounds``: the default of theirs."""
    parser.add_argument(
        "--only", action="append", choices=parts, metavar="PART",
        help=f"one of {', '.join(parts)}; may be given again (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=positive, default=rounds, metavar="N",
        help=f"times each side is measured (default: {rounds})",
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
        help="dump folder of a recipe with the speech to use (default: the mini recipe's, or else "
        "synthetic voices)",
    )  # fmt: skip
    parser.add_argument(
        "--peer_python", type=Path, default=PEER_PYTHON, metavar="FILE",
        help="interpreter that finds the other espnet2 (default: tools/espnet_venv/bin/python3)",
    )  # fmt: skip


def run_parts(args: argparse.Namespace, parts: Parts) -> list[Table]:
    """The tables of the parts that were asked for."""
    with scratch_folder(args.scratch) as scratch:
        tables = []
        for name in args.only or parts:
            folder = scratch / name
            folder.mkdir()
            tables += parts[name](args, folder)
    return tables


@contextlib.contextmanager
def scratch_folder(parent: Path | None) -> Iterator[Path]:
    """A folder that is deleted at the end."""
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench_", dir=parent) as folder:
        yield Path(folder).absolute()
