"""Stage 9: average a run's last checkpoints and write the model in ESPnet's layouts.

python3 -m espnet2.bin.export --conf conf/mini.yaml --dump dump --exp exp/ssl_mini \
    --out exp/ssl_mini/export

Writes OUT/{config.yaml,xeus_checkpoint_old.pth,xeus_checkpoint_new.pth,export.json}. Both files are
loaded again and must give the hidden states of the averaged model on a validation utterance.
config_new.yaml beside them is for ESPnet from PyPI, with xeus_checkpoint_new.pth; where the model
has a part that ESPnet lacks, it is left out and the log says why.
"""

from pathlib import Path

from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import load_section
from espnet2.utils.units import Unit, run_units

FILES = ("config.yaml", "xeus_checkpoint_old.pth", "xeus_checkpoint_new.pth", "export.json")


def main(argv: list[str] | None = None) -> int:
    """Export one experiment."""
    parser = step_parser(__doc__)
    parser.add_argument("--dump", type=Path, default=Path("dump"),
                        help="its valid set gives the utterance to compare on")  # fmt: skip
    parser.add_argument("--exp", type=Path, required=True, help="folder of the experiment")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    config = load_section(args.conf, "export", args.set)
    exp, dump, out = (path.absolute() for path in (args.exp, args.dump, args.out))
    unit = Unit(
        name="export",
        entry="espnet2.train.export:export",
        kwargs={"exp": exp, "dump": dump, "out": out, "config": config},
        marker=out / ".export.done",
        inputs=[exp / "config.yaml", exp / "summary.json"],
        options=config,
        outputs=[out / name for name in FILES],
    )
    return run_units([unit], args)


if __name__ == "__main__":
    run_main(main)
