"""Check Kaldi data directories: order, duplicates, segments, languages, missing audio.

python3 -m espnet2.bin.validate_data data/tuxpaint [DIR ...]

Prints every problem with file and line; exit status 1 if there is any.
"""

import argparse
import sys
from pathlib import Path

from espnet2.data.kaldi import load, validate_kaldi
from espnet2.utils.cli import run_main


def main(argv: list[str] | None = None) -> int:
    """Validate each directory; returns 1 when one of them has a problem."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directories", type=Path, nargs="+", metavar="DIR")
    args = parser.parse_args(argv)
    problems = 0
    for folder in args.directories:
        found = validate_kaldi(folder)
        for problem in found:
            print(problem, file=sys.stderr)
        if not found:
            print(f"{folder}: {len(load(folder)[0])} utterances, valid")
        problems += len(found)
    if problems:
        print(f"{problems} problem{'s' * (problems != 1)}", file=sys.stderr)
    return int(problems > 0)


if __name__ == "__main__":
    run_main(main)
