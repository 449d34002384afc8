"""What a run's intermediate checkpoints tell about how it learned.

Over EXP/intermediate and a fixed sample of DUMP/valid: CKA of every block with the final model and
with the checkpoint before, masked accuracy, how far predictions are the labels and (--ctm) phones,
and how far the weights moved. Writes OUT/dynamics.{md,json,tsv} and plots; OUT/sample and
OUT/predictions are an index and label sets that bin.label_quality reads. A second call measures
only what is new. With more training the final model is another one, and CKA with it is measured
again, unless --reference names one checkpoint for good.

On the disk for the time of a call: 12 bytes a frame, block and dimension (XEUS, 0.2 h: 8 GB).

examples:
  python3 -m espnet2.bin.training_dynamics exp/ssl_mini --dump dump --labels_tag mini \\
      --out exp/ssl_mini/dynamics --ctm data/espeak/phones.ctm
"""

import argparse
from pathlib import Path

from espnet2.utils.cli import command_parser, positive, run_main, seconds
from espnet2.utils.errors import ConfigError


def main(argv: list[str] | None = None) -> int:
    """Measure, write and print the page."""
    args = parse(argv)
    # What imports torch comes after the options, so that --help and errors come at once.
    import torch

    from espnet2.train.dynamics.checkpoints import check_labels, open_run
    from espnet2.train.dynamics.publish import publish
    from espnet2.train.dynamics.sample import draw_sample

    if args.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch finds no GPU here; --device cpu needs none")
    if args.ctm and not args.ctm.is_file():
        raise ConfigError(f"--ctm {args.ctm}: no such file")
    run = open_run(args.exp, args.every, args.reference)
    check_labels(run, args.dump, args.labels_tag)
    sample = draw_sample(
        args.dump / "valid", args.labels_tag, args.out / "sample", args.seed, args.hours,
        args.utterances,
    )  # fmt: skip
    print(publish(run, sample, args.out, torch.device(args.device), args.ctm), end="")
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser(__doc__)
    parser.add_argument("exp", type=Path, metavar="EXP", help="folder of the experiment")
    parser.add_argument("--dump", type=Path, default=Path("dump"), metavar="DIR",
                        help="folder of train and valid (default: dump)")  # fmt: skip
    parser.add_argument("--labels_tag", required=True, metavar="TAG",
                        help="labels in DUMP/valid/labels/TAG")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--ctm", type=Path, metavar="FILE",
                        help="phones of the validation audio (default: none)")  # fmt: skip
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--hours", type=seconds, default=0.2, metavar="HOURS",
                      help="size of the sample in hours (default: 0.2)")  # fmt: skip
    size.add_argument("--utterances", type=positive, metavar="N",
                      help="size of the sample in utterances (default: by hours)")  # fmt: skip
    parser.add_argument("--every", type=positive, default=1, metavar="K",
                        help="every K-th checkpoint, first and last (default: 1)")  # fmt: skip
    parser.add_argument("--reference", type=positive, metavar="STEP",
                        help="what counts as the final model (default: the last)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N",
                        help="draws the sample and the masks (default: 0)")  # fmt: skip
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu",
                        help="where to compute (default: cpu)")  # fmt: skip
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_main(main)
