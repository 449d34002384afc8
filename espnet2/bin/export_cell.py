"""Write a finished cell as a Hugging Face folder that transcribes through transformers' pipeline.

DIR is a folder of stage 11 on one of our encoders (exp/superb/<encoder>/<cell>). --out gets
everything: encoder and probe as safetensors, vocabulary, processor and a model card. What was
written is loaded again, and its log-probabilities must be the cell's, bit by bit. Additions of LoRA
are merged into the weights.

examples:
  python3 -m espnet2.bin.export_cell exp/superb/pretrained/multi_1h_lr0.0001_seed1 --out hf_multi
  python3 -m espnet2.bin.export_cell exp/superb/pretrained/multi_1h_lr0.0001_seed1 \\
      --export /mnt/models/ssl_mini/export --licence cc-by-nc-4.0 --out hf_multi
"""

import shlex
import sys
from pathlib import Path

from espnet2.utils.cli import command_parser, run_main


def main(argv: list[str] | None = None) -> None:
    """Write the folder."""
    parser = command_parser(__doc__)
    parser.add_argument("cell", type=Path, metavar="DIR", help="folder of the finished cell")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR",
                        help="folder to write; one that is there is replaced")  # fmt: skip
    parser.add_argument("--export", type=Path, metavar="DIR",
                        help="the encoder's export folder (default: where it was in "
                        "training)")  # fmt: skip
    parser.add_argument("--licence", default="unknown", metavar="NAME",
                        help="terms of the weights, as Hugging Face abbreviates them (default: "
                        "unknown, which push_to_hub refuses)")  # fmt: skip
    args = parser.parse_args(argv)
    # What imports torch comes after the options, so that --help and errors come at once.
    from espnet2.hf.cell_folder import save_cell
    from espnet2.train.export.config import ExportConfig

    ExportConfig(licence=args.licence)  # refuses what is no licence's name
    words = ["python3", "-m", "espnet2.bin.export_cell", *(sys.argv[1:] if argv is None else argv)]
    save_cell(args.cell, args.out, args.export, args.licence, shlex.join(words))
    print(f"wrote {args.out}")


if __name__ == "__main__":
    run_main(main)
