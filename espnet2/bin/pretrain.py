r"""Stage 8: pre-train a model on planned batches and their labels.

Writes EXP/{config.yaml,metrics.jsonl,languages.tsv,summary.json,train.log}, EXP/plots,
EXP/checkpoints (the last few, to resume from), EXP/intermediate (the model alone, all kept) and
EXP/best (of lowest validation loss); where there is something to tell also EXP/alarms.tsv,
EXP/skipped and EXP/unreadable. A second start resumes from the newest checkpoint. SIGTERM, SIGUSR1
or Ctrl-C saves one and ends with status 1; start again to go on.
Under torchrun, or srun with several tasks, this process is one rank of that job. On a cluster the
job has the ``nodes`` of its YAML, with ``--ranks`` ranks on each, and returns to the queue when its
time is up.

--find_batch and --price ask before a run begins; they run on this machine and write nothing.

examples:
  python3 -m espnet2.bin.pretrain --conf conf/mini.yaml --dump dump --labels_tag mini \
      --exp exp/ssl_mini --ranks 2
"""

import json
from pathlib import Path

from espnet2.train.launch import hand_stop_signals_to_children, launch
from espnet2.train.slurm import is_rank
from espnet2.utils.cli import positive, run_main, step_parser
from espnet2.utils.cluster import settings_for
from espnet2.utils.config import load_section, load_seed
from espnet2.utils.units import Unit, run_units
from espnet2.utils.work import load_entry

ENTRY = "espnet2.train.pretrain:pretrain"
FIND_BATCH = "espnet2.train.find_batch:find_batch"
PRICE = "espnet2.train.price:price"
BANKS = (("noise", "noise_prob"), ("rirs", "rir_prob"))


def main(argv: list[str] | None = None) -> int:
    """Pre-train, as one rank or as the process that starts them."""
    parser = step_parser(__doc__)
    parser.add_argument("--dump", type=Path, required=True, metavar="DIR",
                        help="folder of train, valid and banks")  # fmt: skip
    parser.add_argument("--labels_tag", required=True, metavar="TAG",
                        help="labels in DUMP/<set>/labels/TAG")  # fmt: skip
    parser.add_argument("--exp", type=Path, required=True, metavar="DIR",
                        help="folder to write: the experiment")  # fmt: skip
    parser.add_argument("--ranks", type=positive, default=1, metavar="N",
                        help="ranks on a machine (default: 1)")  # fmt: skip
    parser.add_argument("--find_batch", action="store_true",
                        help="only find the largest batch that fits on one device")  # fmt: skip
    parser.add_argument("--price", action="store_true",
                        help="only time 20 steps: days and disk of the run")  # fmt: skip
    args = parser.parse_args(argv)
    kwargs = {
        "dump": args.dump.absolute(),
        "labels_tag": args.labels_tag,
        "conf": args.conf.absolute(),
        "overrides": args.set,
        "ngpu": args.ngpu,
    }
    if args.find_batch:
        load_entry(FIND_BATCH)(**kwargs, ranks=args.ranks)
    if args.price:
        launch(PRICE, json.loads(json.dumps(kwargs, default=str)), args.ranks)
    if args.find_batch or args.price:
        return 0
    kwargs["exp"] = args.exp.absolute()
    if is_rank():
        load_entry(ENTRY)(**kwargs)
        return 0
    if args.cluster == "local":
        hand_stop_signals_to_children()
    section = load_section(args.conf, "pretrain", args.set)
    options = {"pretrain": section, "seed": load_seed(args.conf, args.set)}
    nodes = settings_for(args.cluster, args.ngpu).nodes
    return run_units([pretrain_unit(kwargs, options, args.ranks, nodes)], args)


def pretrain_unit(kwargs: dict, options: dict, ranks: int, nodes: int) -> Unit:
    """The unit; the number of ranks, nodes and GPUs does not decide the result."""
    dump, exp = kwargs["dump"], kwargs["exp"]
    files = ("plan/plan.json", Path("labels", kwargs["labels_tag"], "labels.json"))
    return Unit(
        name="pretrain",
        entry="espnet2.train.launch:launch",
        kwargs={"entry": ENTRY, "kwargs": kwargs, "ranks": ranks, "nodes": nodes},
        marker=exp / ".pretrain.done",
        inputs=[
            *(dump / name / file for name in ("train", "valid") for file in files),
            *bank_files(dump, options["pretrain"]),
        ],
        options=options,
        outputs=[exp / "summary.json"],
        gpus=kwargs["ngpu"],
        nodes=nodes,
        can_go_on=True,
    )


def bank_files(dump: Path, section: dict) -> list[Path]:
    """The files that stand for the banks that a phase draws from."""
    phases = section.get("phases")
    phases = [p for p in phases if isinstance(p, dict)] if isinstance(phases, list) else []
    files = [dump / name / "bank.json" for name, key in BANKS if any(p.get(key) for p in phases)]
    return [path for path in files if path.is_file()]  # the run itself says which one is missing


if __name__ == "__main__":
    run_main(main)
