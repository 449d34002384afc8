"""What a run's intermediate checkpoints tell about how it learned.

python3 -m espnet2.bin.training_dynamics exp/ssl_mini --dump dump --labels_tag mini \\
    --out exp/ssl_mini/dynamics --ctm data/espeak/phones.ctm

Over EXP/intermediate and a fixed sample of DUMP/valid: CKA of every block with the final model and
with the checkpoint before, masked accuracy, how far predictions are the labels and (--ctm) phones,
and how far the weights moved. Writes OUT/dynamics.{md,json,tsv} and plots; OUT/sample and
OUT/predictions are an index and label sets that bin.label_quality reads. A second call measures
only what is new. With more training the final model is another one, and CKA with it is measured
again, unless --reference names one checkpoint for good.

On the disk for the time of a call: 12 bytes a frame, block and dimension (XEUS, 0.2 h: 8 GB).
"""

import argparse
from pathlib import Path

import torch

from espnet2.train.dynamics.checkpoints import check_labels, open_run
from espnet2.train.dynamics.publish import publish
from espnet2.train.dynamics.sample import draw_sample
from espnet2.utils.cli import positive, run_main
from espnet2.utils.errors import ConfigError


def main(argv: list[str] | None = None) -> int:
    """Measure, write and print the page."""
    args = parse(argv)
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
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("exp", type=Path, help="folder of the experiment")
    parser.add_argument("--dump", type=Path, default=Path("dump"), help="folder of train and valid")
    parser.add_argument("--labels_tag", required=True, help="labels in DUMP/valid/labels/<tag>")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--ctm", type=Path, metavar="FILE", help="phones of the validation audio")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--hours", type=hours, default=0.2, help="size of the sample (default 0.2)")
    size.add_argument("--utterances", type=positive, metavar="N", help="its size in utterances")
    parser.add_argument("--every", type=positive, default=1, metavar="K",
                        help="first checkpoint, every K-th after it, final one")  # fmt: skip
    parser.add_argument("--reference", type=positive, metavar="STEP",
                        help="what counts as the final model (default: the last)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the sample and the masks")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    return parser.parse_args(argv)


def hours(text: str) -> float:
    """A number of hours above 0, for argparse."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return number


if __name__ == "__main__":
    run_main(main)
