"""Compare ways to pre-train over several seeds of each, from one scores.json of stage 12.

Encoders named <arm>_s<seed> are the seeds of an arm. Prints Markdown: mean and spread of each arm
on every test, and what each arm gains over the one named, same seed against same seed.

examples:
  python3 -m espnet2.bin.compare_arms --scores exp/superb/scores.json --against clean
"""

from pathlib import Path

from espnet2.evaluation.arms import comparison
from espnet2.evaluation.references import read_json_file
from espnet2.utils.cli import command_parser, run_main
from espnet2.utils.errors import DataError
from espnet2.utils.files import write_text


def main(argv: list[str] | None = None) -> int:
    """Print the tables."""
    parser = command_parser(__doc__)
    parser.add_argument("--scores", type=Path, required=True, metavar="FILE",
                        help="scores.json of stage 12")  # fmt: skip
    parser.add_argument("--against", required=True, metavar="ARM", help="the arm to compare with")
    parser.add_argument("--out", type=Path, metavar="FILE",
                        help="file to write, too (default: none)")  # fmt: skip
    args = parser.parse_args(argv)
    scores = read_json_file(args.scores)
    if "rows" not in scores:
        raise DataError(f"{args.scores} has no rows: give the scores.json of stage 12")
    text = comparison(scores["rows"], args.against)
    print(text, end="")
    if args.out:
        write_text(args.out, text)
    return 0


if __name__ == "__main__":
    run_main(main)
