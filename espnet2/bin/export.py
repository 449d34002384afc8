r"""Stage 9: average a run's checkpoints and write the model in every form that others read.

Writes to OUT, each with the averaged weights, loaded again and compared on a validation utterance:

xeus_checkpoint_old.pth, xeus_checkpoint_new.pth   ESPnet's layouts, with config.yaml
espnet/                                            the new layout for ESPnet: its config.yaml beside
                                                   it, for build_model_from_file and espnet_ssl
espnet_model.zip                                   the same for ESPnet's unpack
model.safetensors                                  the old layout's keys
hf/                                                a Hugging Face folder with a model card

config_new.yaml is for ESPnet from PyPI, with xeus_checkpoint_new.pth; where the model has a part
that ESPnet lacks, it, the folder and the zip are left out and the log says why. export.json
lists the files.

examples:
  python3 -m espnet2.bin.export --conf conf/mini.yaml --dump dump --exp exp/ssl_mini \
      --out exp/ssl_mini/export
"""

import os
import shlex
import sys
from argparse import Namespace
from pathlib import Path

from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import load_section
from espnet2.utils.provenance import REPOSITORY
from espnet2.utils.units import Unit, run_units

FILES = (
    "config.yaml", "xeus_checkpoint_old.pth", "xeus_checkpoint_new.pth", "model.safetensors",
    "hf/config.json", "hf/model.safetensors", "hf/preprocessor_config.json", "hf/README.md",
    "weights.json", "export.json",
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Export one experiment."""
    args = parse(argv)
    return run_units(
        [export_unit(args, command_line(sys.argv[1:] if argv is None else argv))], args
    )


def parse(argv: list[str] | None) -> Namespace:
    """The options."""
    parser = step_parser(__doc__)
    parser.add_argument("--dump", type=Path, default=Path("dump"), metavar="DIR",
                        help="its valid set gives the utterance to compare on, its train set the "
                        "model card's hours (default: dump)")  # fmt: skip
    parser.add_argument("--data", type=Path, metavar="DIR",
                        help="folder of data directories, whose corpus.json knows the "
                        "corpora's licences (default: none)")  # fmt: skip
    parser.add_argument("--exp", type=Path, required=True, metavar="DIR",
                        help="folder of the experiment")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    return parser.parse_args(argv)


def export_unit(args: Namespace, command: str) -> Unit:
    """The whole stage; done again where the run, its data or what is known of it changed."""
    config = load_section(args.conf, "export", args.set)
    exp, dump, out = (path.absolute() for path in (args.exp, args.dump, args.out))
    data = args.data.absolute() if args.data else None
    known = [exp / "provenance.json", dump / "train/index.json", dump / "train/plan/plan.json"]
    known += sorted(data.glob("*/corpus.json")) if data else []
    return Unit(
        name="export",
        entry="espnet2.train.export.stage:export",
        kwargs={"exp": exp, "dump": dump, "out": out, "config": config, "data": data,
                "command": command},
        marker=out / ".export.done",
        inputs=[exp / "config.yaml", exp / "summary.json", *filter(Path.is_file, known)],
        options=config,
        outputs=[out / name for name in FILES],
    )  # fmt: skip


def command_line(argv: list[str]) -> str:
    """This command for others: paths in the repository are written relative to this folder."""
    words = [
        os.path.relpath(word) if Path(word).is_absolute() and REPOSITORY in Path(word).parents
        else word
        for word in argv
    ]  # fmt: skip
    return shlex.join(["python3", "-m", "espnet2.bin.export", *words])


if __name__ == "__main__":
    run_main(main)
