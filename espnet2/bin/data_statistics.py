"""Utterances, hours and lengths of a set, by corpus and language, without loading it.

With --out DIR, a folder beside those of DUMP, the utterances in question become an index of their
own: DIR/index.arrow, pointing into the same shards.

examples:
  python3 -m espnet2.bin.data_statistics --index dump/train --language deu --max_s 20
"""

from pathlib import Path

import numpy as np

from espnet2.data.hours import Tally, hours_table
from espnet2.data.index import Index
from espnet2.data.index.selection import Selection, copy_selected, tally
from espnet2.utils.cli import command_parser, run_main

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def main(argv: list[str] | None = None) -> int:
    """Print the tables; write the index if asked."""
    parser = command_parser(__doc__)
    parser.add_argument("--index", type=Path, required=True, metavar="DIR",
                        help="the set, such as dump/train")  # fmt: skip
    parser.add_argument("--corpus", nargs="+", default=[], metavar="NAME",
                        help="only these corpora (default: all)")  # fmt: skip
    parser.add_argument("--language", nargs="+", default=[], metavar="CODE",
                        help="only these languages (default: all)")  # fmt: skip
    parser.add_argument("--min_s", type=float, default=0.0, metavar="S",
                        help="shortest length in seconds (default: 0)")  # fmt: skip
    parser.add_argument("--max_s", type=float, default=np.inf, metavar="S",
                        help="longest length in seconds (default: any)")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="folder to write: their index (default: none)")  # fmt: skip
    args = parser.parse_args(argv)
    selection = Selection(
        corpora=tuple(args.corpus), languages=tuple(args.language),
        min_s=args.min_s, max_s=args.max_s,
    )  # fmt: skip
    index = Index.open(args.index)
    counted = tally(index, selection)
    print(hours_table({"selected": counted.summary()}, {}))
    print(lengths_line(counted))
    if args.out:
        count = copy_selected(index, selection, args.out)
        print(f"{args.out / 'index.arrow'}: {count} of {len(index)} utterances")
    return 0


def lengths_line(counted: Tally) -> str:
    """Quantiles of the lengths, to the second below."""
    ends = np.cumsum(counted.by_second)
    if not len(ends) or not ends[-1]:
        return "lengths: no utterance"
    places = [min(int(q * ends[-1]), int(ends[-1]) - 1) for q in QUANTILES]
    seconds = np.searchsorted(ends, places, side="right").tolist()
    texts = [f"{100 * q:g} %: {s} s" for q, s in zip(QUANTILES, seconds, strict=True)]
    return f"lengths (whole seconds), quantiles: {', '.join(texts)}"


if __name__ == "__main__":
    run_main(main)
