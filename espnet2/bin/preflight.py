r"""Refuse at once what a recipe would refuse after hours: GPUs, encoders, corpora it lacks.

The driver calls it before its first stage. It writes nothing; what is wrong is one line, exit
status 1. GPUs are counted only where units run on this machine: the nodes of a cluster may have
what the machine that starts them lacks.

examples:
  python3 -m espnet2.bin.preflight --conf conf/mini.yaml --ngpu 2
  python3 -m espnet2.bin.preflight --conf conf/ml_superb.yaml --cells \
      --root downloads/ml_superb --export exp/ssl_xeus/export
"""

from pathlib import Path

from espnet2.train.cells import finetune_config
from espnet2.train.preflight import refuse_encoders, refuse_monolingual
from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import load_section
from espnet2.utils.gpus import refuse_missing_gpus


def main(argv: list[str] | None = None) -> int:
    """Check what is asked for."""
    parser = step_parser(__doc__)
    parser.add_argument(
        "--cells", action="store_true", help="check section finetune: encoders and, with --root, "
        "the configurations of task mono",
    )  # fmt: skip
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="the benchmark's data (default: made later)"
    )
    parser.add_argument(
        "--export", type=Path, metavar="DIR",
        help="export folder of the pretrained model (default: made later)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    refuse_missing_gpus(args.ngpu, args.cluster)
    if args.cells:
        config = finetune_config(load_section(args.conf, "finetune", args.set), str(args.conf))
        refuse_encoders(config, args.export, is_exported_later=args.export is None)
        if args.root:
            refuse_monolingual(config, args.root)
    return 0


if __name__ == "__main__":
    run_main(main)
