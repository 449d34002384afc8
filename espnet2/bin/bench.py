"""Measure speed and memory side by side, and keep the figures with commit and hardware.

All but `gpu` need PyPI's espnet in an environment of its own: tools/install.sh --with_espnet;
`data` also needs lhotse. Tables go to stdout; in a checkout they are also added to
egs2/BENCHMARKS.md.

examples:
  xeus bench gpu                 # training steps and their parts on this GPU
  xeus bench model --no_save     # our encoder beside PyPI's espnet, one CPU thread; print only
"""

import argparse
import importlib
import shlex
import sys
from pathlib import Path
from types import ModuleType

from espnet2.utils.cli import command_parser, run_main
from espnet2.utils.logs import log
from espnet2.utils.provenance import REPOSITORY, provenance

KINDS = {
    "model": "our encoder beside PyPI's espnet: ratios of time and memory",
    "gpu": "training steps at XEUS size and four micro-benchmarks",
    "data": "index and plan of 10^8 rows, the loader beside lhotse and espnet, formatting",
    "tokens": "labelling beside the teacher alone and beside espnet's way, and its memory",
    "train": "training beside espnet's trainer; resuming and checkpoints; one rank and two",
    "superb": "training ML-SUPERB's probe beside espnet's recipe, features kept or not",
}
RECORD = REPOSITORY / "egs2" / "BENCHMARKS.md"


def main(argv: list[str] | None = None) -> int:
    """Measure, print, save."""
    words = sys.argv[1:] if argv is None else argv
    args = parse(words)
    from espnet2.bench.table import append, entry  # it imports torch, which --help need not

    command = shlex.join(["python3", "-m", "espnet2.bin.bench", *words])
    facts = provenance()  # before: a plot that is written again would count as a change
    text = entry(module_of(args.kind).run(args), command, facts)
    print(text, end="")
    record = None if args.no_save else args.save or default_record(args.tiny)
    if record is not None:
        append(text, record)
        log(f"added to {record}")
    return 0


def default_record(is_tiny: bool) -> Path | None:
    """The checkout's file; None outside one, and for sizes that measure nothing."""
    return RECORD if RECORD.parent.is_dir() and not is_tiny else None


def module_of(kind: str) -> ModuleType:
    """The benchmark; imported alone, as a GPU image may lack what the others need."""
    return importlib.import_module(f"espnet2.bench.{kind}")


def parse(words: list[str]) -> argparse.Namespace:
    """The options of every kind, and the chosen kind's own."""
    parser = command_parser(__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND", title="kinds")
    for name, summary in KINDS.items():
        kind = kinds.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        kind.add_argument(
            "--save", type=Path, metavar="FILE", help="Markdown file to add the tables to "
            "(default: egs2/BENCHMARKS.md of a checkout; none with --tiny)",
        )  # fmt: skip
        kind.add_argument("--no_save", action="store_true", help="only print the tables")
        if words[:1] == [name]:
            module_of(name).add_options(kind)
    return parser.parse_args(words)


if __name__ == "__main__":
    run_main(main)
