"""Check Kaldi data directories by every rule (``espnet2/data/kaldi/check.py`` lists them).

Prints every problem with file and line on stderr, and notes (what is worth knowing but not wrong)
on stdout. The audio must be there; --audio also opens every file and compares lengths. Exit status
1 if there is any problem. Memory does not grow with the directory.

examples:
  python3 -m espnet2.bin.validate_data data/tuxpaint [DIR ...]
"""

import sys
from pathlib import Path

from espnet2.data.kaldi.check import examine
from espnet2.utils.cli import command_parser, run_main
from espnet2.utils.words import counted


def main(argv: list[str] | None = None) -> int:
    """Validate each directory; returns 1 when one of them has a problem."""
    parser = command_parser(__doc__)
    parser.add_argument("directories", type=Path, nargs="+", metavar="DIR",
                        help="Kaldi data directories")  # fmt: skip
    parser.add_argument("--allow_pipes", action="store_true", help="take commands in wav.scp")
    parser.add_argument("--audio", action="store_true",
                        help="open every file (with --allow_pipes, run every command)")  # fmt: skip
    args = parser.parse_args(argv)
    problems = 0
    for folder in args.directories:
        report = examine(folder, allow_pipes=args.allow_pipes, audio=True, headers=args.audio)
        for problem in report.problems:
            print(problem, file=sys.stderr)
        for note in report.notes:
            print(f"{folder}: note: {note}")
        if not report.problems:
            print(f"{folder}: {report.utterances} utterances, valid")
        problems += len(report.problems)
    if problems:
        print(counted(problems, "problem"), file=sys.stderr)
    return int(problems > 0)


if __name__ == "__main__":
    run_main(main)
