r"""Refuse at once what a recipe would refuse after hours: misspelt settings, GPUs it lacks.

The driver calls it before its first stage. It writes nothing; what is wrong is one line, exit
status 1. With --stages, unknown keys and wrong values are looked for in the sections of the YAML
that these stages read; with --cells, encoders and corpora. GPUs are counted only where units run on
this machine: the nodes of a cluster may have what the machine that starts them lacks.

examples:
  python3 -m espnet2.bin.preflight --conf conf/mini.yaml --ngpu 2 --stages 1 9
  python3 -m espnet2.bin.preflight --conf conf/ml_superb.yaml --cells \
      --root downloads/ml_superb --export exp/ssl_xeus/export
"""

from pathlib import Path

from espnet2.train.cells import finetune_config
from espnet2.train.preflight import refuse_encoders, refuse_monolingual
from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import from_dict, load_section, load_seed
from espnet2.utils.gpus import refuse_missing_gpus
from espnet2.utils.work import load_entry

# Section, the first and the last stage that read it, its settings; loaded only where asked for.
SECTIONS = (
    ("data", 1, 1, "espnet2.data.corpora.config:DataConfig"),
    ("format", 2, 2, "espnet2.data.config:FormatConfig"),
    ("combine", 3, 3, "espnet2.data.config:CombineConfig"),
    ("tokens", 4, 5, "espnet2.tokens.config:TokensConfig"),
    ("augment", 6, 6, "espnet2.data.config:BankConfig"),
    ("plan", 7, 7, "espnet2.data.config:PlanConfig"),
    ("export", 9, 9, "espnet2.train.export.config:ExportConfig"),
    ("report", 13, 13, "espnet2.evaluation.report.config:ReportConfig"),
)
PRETRAIN_STAGE, PRETRAIN_CHECK = 8, "espnet2.train.pretrain:check_options"


def main(argv: list[str] | None = None) -> int:
    """Check what is asked for."""
    parser = step_parser(__doc__)
    parser.add_argument(
        "--stages", type=int, nargs=2, metavar="N",
        help="check the sections that stages N to N read (default: none)",
    )  # fmt: skip
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
    if args.stages:
        refuse_settings(args.conf, args.set, *args.stages)
    if args.cells:
        config = finetune_config(load_section(args.conf, "finetune", args.set), str(args.conf))
        refuse_encoders(config, args.export, is_exported_later=args.export is None)
        if args.root:
            refuse_monolingual(config, args.root)
    return 0


def refuse_settings(conf: Path, overrides: list[str], first: int, last: int) -> None:
    """Refuse unknown keys and wrong values in what stages ``first`` to ``last`` read.

    Raises:
        ConfigError: names the section and the key, with a guess.
    """
    load_seed(conf, overrides)
    for name, begin, end, settings in SECTIONS:
        if first <= end and begin <= last:
            from_dict(load_entry(settings), load_section(conf, name, overrides), f"{conf}: {name}")
    if first <= PRETRAIN_STAGE <= last:  # brings torch
        load_entry(PRETRAIN_CHECK)(load_section(conf, "pretrain", overrides))


if __name__ == "__main__":
    run_main(main)
