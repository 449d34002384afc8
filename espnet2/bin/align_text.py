"""Transcripts laid along their audio: which letter is heard when, as a CTM.

Needs no model: those of the letters are trained on the audio itself, one set a language, and on
few minutes of a language they are poor; so name the training set, too. Writes OUT with lines
``utt 1 start_s duration_s token`` (letters and ``sil``), OUT.dropped.tsv (what was left out, and
why) and OUT.json (log-likelihood a frame of each round, by language).

examples:
  python3 -m espnet2.bin.align_text --index dump/train dump/valid --text data/*/text \\
      --out exp/align/letters.ctm
"""

from pathlib import Path

from espnet2.data.index import Index
from espnet2.tokens.align.aligner import align_text
from espnet2.utils.cli import command_parser, run_main
from espnet2.utils.files import write_json
from espnet2.utils.logs import log


def main(argv: list[str] | None = None) -> int:
    """Align all utterances of some sets."""
    parser = command_parser(__doc__)
    parser.add_argument("--index", type=Path, nargs="+", required=True, metavar="DIR",
                        help="the sets, such as dump/train")  # fmt: skip
    parser.add_argument("--text", type=Path, nargs="+", required=True, metavar="FILE",
                        help="their transcripts, Kaldi text files")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="CTM to write")
    parser.add_argument("--seed", type=int, default=1, metavar="N",
                        help="draws what the models train on (default: 1)")  # fmt: skip
    args = parser.parse_args(argv)
    summary = align_text([Index.open(path) for path in args.index], args.text, args.out, args.seed)
    write_json(args.out.with_name(f"{args.out.name}.json"), summary)
    reasons = ", ".join(f"{reason} {count}" for reason, count in summary["left_out"].items())
    log(
        f"{args.out}: {summary['aligned']} utterances, languages: {len(summary['languages'])}; "
        f"left out: {reasons or 'nothing'}"
    )
    return 0


if __name__ == "__main__":
    run_main(main)
