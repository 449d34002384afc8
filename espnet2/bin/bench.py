"""Measure speed and memory side by side, and keep the figures with commit and hardware.

python3 -m espnet2.bin.bench model             # our encoder beside PyPI's espnet, one CPU thread
python3 -m espnet2.bin.bench gpu               # training steps and their parts on this GPU
python3 -m espnet2.bin.bench data              # index of 10^8 rows, loader, formatting
python3 -m espnet2.bin.bench tokens            # pseudo-labels: speed, memory, beside espnet's way
python3 -m espnet2.bin.bench train             # the training loop beside espnet's trainer
python3 -m espnet2.bin.bench superb            # training ML-SUPERB's probe beside espnet's recipe
python3 -m espnet2.bin.bench model --no_save   # print only

All but `gpu` need the reference in an environment of its own: tools/install.sh --with_espnet;
`data` also needs lhotse. Tables go to stdout; in a checkout they are also added to
egs2/BENCHMARKS.md.
"""

import argparse
import importlib
import shlex
import sys
from pathlib import Path
from types import ModuleType

from espnet2.bench.table import append, entry
from espnet2.utils.cli import run_main
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar=f"{{{','.join(KINDS)}}}")
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
