"""How good label sets are, against a reference: purity, PNMI, and how far they agree.

The reference is a CTM of the index's audio from any aligner, ``utterance channel start duration
token``, sorted with LC_ALL=C sort -k1,1 -k3,3g; or, with --text, Kaldi ``text`` files, from which
OUT/letters.ctm is made here. Few minutes of a language make poor models of its letters: where there
is a training set, run bin.align_text on both and give its CTM. Writes OUT/label_quality.json, .md
and .png, and prints the tables.

examples:
  python3 -m espnet2.bin.label_quality --index dump/valid --labels dump/valid/labels/mini \\
      --labels dump/valid/labels/mini_it2 --ctm phones.ctm --out exp/label_quality
"""

import argparse
import itertools
from pathlib import Path
from typing import Any

from espnet2.data.index import Index
from espnet2.data.labels import LabelStore
from espnet2.tokens.align.aligner import align_text
from espnet2.tokens.quality.agreement import agreement
from espnet2.tokens.quality.counts import count_labels, summary
from espnet2.tokens.quality.ctm import SILENCE, Tokens
from espnet2.tokens.quality.plots import reference_page
from espnet2.tokens.quality.purity import count_joint, figures
from espnet2.tokens.quality.tables import report
from espnet2.utils.cli import command_parser, run_main
from espnet2.utils.errors import ConfigError
from espnet2.utils.files import write_json, write_text
from espnet2.utils.provenance import provenance


def main(argv: list[str] | None = None) -> int:
    """Measure the label sets; write and print the report."""
    args = parse(argv)
    index = Index.open(args.index)
    stores = {name: LabelStore.open(index, path) for name, path in named(args.labels).items()}
    counted = {name: summary(count_labels(store)) for name, store in stores.items()}
    ctms, tokens = args.ctm or [letters(index, args)], Tokens(args.silence)
    joints, coverage = count_joint(list(stores.values()), ctms, tokens)
    reference = {
        name: figures(joint, args.seed) for name, joint in zip(stores, joints, strict=True)
    }
    found = {
        "index": str(args.index),
        "ctm": [str(path) for path in ctms],
        "coverage": vars(coverage),
        "silence": tokens.silent,
        "labels": {
            name: {
                "folder": str(store.folder),
                "counted": counted[name],
                "reference": reference[name],
            }
            for name, store in stores.items()
        },
        "agreement": agreements(stores),
        "provenance": provenance(),
    }
    write_json(args.out / "label_quality.json", found)
    page = report(found)
    write_text(args.out / "label_quality.md", page)
    reference_page(
        args.out / "label_quality.png",
        {
            name: (joint.pooled, joint.tokens, reference[name])
            for name, joint in zip(stores, joints, strict=True)
        },
    )
    print(page, end="")
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser(__doc__)
    parser.add_argument("--index", type=Path, required=True, metavar="DIR",
                        help="the set, such as dump/train")  # fmt: skip
    parser.add_argument(
        "--labels", type=Path, action="append", required=True, metavar="DIR",
        help="labels of this set; may be given again",
    )  # fmt: skip
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--ctm", type=Path, nargs="+", metavar="FILE",
                        help="its alignments")  # fmt: skip
    source.add_argument("--text", type=Path, nargs="+", metavar="FILE", help="its transcripts")
    parser.add_argument(
        "--silence", nargs="*", default=SILENCE, metavar="TOKEN",
        help=f"tokens to leave out, in any case (default: {' '.join(SILENCE)})",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N",
                        help="draws shuffles, and models of --text (default: 0)")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    return parser.parse_args(argv)


def letters(index: Index, args: argparse.Namespace) -> Path:
    """The transcripts as a CTM of their letters, aligned on the audio of the index."""
    ctm = args.out / "letters.ctm"
    args.out.mkdir(parents=True, exist_ok=True)
    align_text([index], args.text, ctm, args.seed)
    return ctm


def named(folders: list[Path]) -> dict[str, Path]:
    """A name for each label set: its folder's, or the path where two have the same."""
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise ConfigError("--labels: one folder is given twice")
    names = [folder.resolve().name for folder in folders]
    return {
        name if names.count(name) == 1 else str(folder): folder
        for name, folder in zip(names, folders, strict=True)
    }


def agreements(stores: dict[str, LabelStore]) -> list[dict[str, Any]]:
    """How far each two sets agree."""
    return [
        {"labels": [one, other], **agreement(stores[one], stores[other])}
        for one, other in itertools.combinations(stores, 2)
    ]


if __name__ == "__main__":
    run_main(main)
