"""Stage 13: RESULTS.md, superb.json and one self-contained report.html.

Needs EXP/superb/scores.json of stage 12; whatever else earlier stages left is shown too, and what
is not there is left out: an encoder of somebody else needs no pre-training here.

examples:
  python3 -m espnet2.bin.report --conf conf/mini.yaml --exp exp --dump dump --ssl exp/ssl_mini \\
      --out exp/report
"""

import shlex
import sys
from pathlib import Path
from typing import Any

import yaml

from espnet2.evaluation.report.config import ReportConfig
from espnet2.evaluation.report.inputs import input_files
from espnet2.train.cells import FinetuneConfig
from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import from_dict, load_recipe, load_section, to_dict
from espnet2.utils.units import Unit, run_units

OUTPUTS = ("RESULTS.md", "superb.json", "report.html")


def main(argv: list[str] | None = None) -> int:
    """Write the report."""
    parser = step_parser(__doc__)
    parser.add_argument("--exp", type=Path, required=True, metavar="DIR",
                        help="folder of the experiments")  # fmt: skip
    parser.add_argument("--dump", type=Path, required=True, metavar="DIR",
                        help="folder of the prepared data")  # fmt: skip
    parser.add_argument("--ssl", type=Path, metavar="DIR",
                        help="folder of the pre-training run (default: EXP/ssl)")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    args = parser.parse_args(argv)
    section = load_section(args.conf, "report", args.set)
    config = from_dict(ReportConfig, section, f"{args.conf}: report")
    ssl = args.ssl or args.exp / "ssl"
    sections = load_recipe(args.conf, args.set)
    recipe = yaml.safe_dump(sections, sort_keys=False, allow_unicode=True, width=100)
    finetune = load_section(args.conf, "finetune", args.set)
    here = trained_here(finetune, f"{args.conf}: finetune")
    words = ["python3", "-m", "espnet2.bin.report", *(sys.argv[1:] if argv is None else argv)]
    unit = Unit(
        name="report",
        entry="espnet2.evaluation.report.stage:write_report",
        kwargs={
            "recipe": recipe, "exp": args.exp, "dump": args.dump, "ssl": ssl,
            "out": args.out, "command": shlex.join(words), "config": to_dict(config),
            "trained_here": here,
        },
        marker=args.out / ".report.done",
        inputs=[*input_files(args.exp, args.dump, ssl), *sorted(config.hours.values())],
        options={"config": to_dict(config), "recipe": recipe},
        outputs=[args.out / name for name in OUTPUTS],
    )  # fmt: skip
    return run_units([unit], args)


def trained_here(section: dict[str, Any], where: str) -> list[str]:
    """Encoders that are the model of stage 8: exported, and no other place is named.

    Raises:
        ConfigError: the section cannot be used.
    """
    encoders = from_dict(FinetuneConfig, section, where).encoders if section else {}
    return [name for name, spec in encoders.items() if spec.kind == "export" and not spec.path]


if __name__ == "__main__":
    run_main(main)
