"""Stage 7: length buckets or packed pieces, sampling weights and passes; what a run costs before
it is spent.

python3 -m espnet2.bin.plan --conf conf/mini.yaml --dump dump

Writes DUMP/{train,valid}/plan/{plan.json,rows.npy,dropped.tsv} (and starts.npy with ``pack_s``) and
prints hours, steps and bytes.
"""

from pathlib import Path

from espnet2.data.config import PlanConfig
from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import from_dict, load_section, load_seed, to_dict
from espnet2.utils.files import read_json
from espnet2.utils.units import Unit, run_units


def main(argv: list[str] | None = None) -> int:
    """Plan both sets, then print what a pass over the training set costs."""
    parser = step_parser(__doc__)
    parser.add_argument(
        "--dump", type=Path, required=True, help="folder of the train and valid sets"
    )
    args = parser.parse_args(argv)
    config = from_dict(PlanConfig, load_section(args.conf, "plan", args.set), "plan")
    seed = load_seed(args.conf, args.set)
    sets = [args.dump.absolute() / name for name in ("train", "valid")]
    status = run_units([plan_unit(folder, config, seed) for folder in sets], args)
    if status == 0:
        pretrain = load_section(args.conf, "pretrain", args.set)
        print_cost(read_json(sets[0] / "plan/plan.json"), pretrain.get("max_steps"))
    return status


def plan_unit(folder: Path, config: PlanConfig, seed: int) -> Unit:
    """The unit that plans one set."""
    out = folder / "plan"
    arrays = ["rows"] if config.pack_s is None else ["rows", "starts"]
    return Unit(
        name=f"plan_{folder.name}",
        entry="espnet2.data.plan:build_plan",
        kwargs={"index_path": folder / "index.arrow", "out": out, "config": to_dict(config),
                "seed": seed},
        marker=out / ".plan.done",
        inputs=[folder / "index.arrow"],
        options={**to_dict(config), "seed": seed},
        outputs=[out / "plan.json", *(out / f"{name}.npy" for name in arrays)],
    )  # fmt: skip


def print_cost(plan: dict, max_steps: int | None) -> None:
    """Batches of each length (rows: utterances or pieces), hours, steps and bytes, on stdout."""
    print(f"{'length s':>8} {'rows':>9} {'batch':>6} {'steps':>10}")
    for bucket in plan["buckets"]:
        length_s = bucket["num_samples"] / 16000
        steps = bucket["count"] / bucket["batch"]
        print(f"{length_s:8.2f} {bucket['count']:9} {bucket['batch']:6} {steps:10.1f}")
    print(
        f"one pass: {plan['hours_per_pass']:.2f} h of {plan['hours']:.2f} h, "
        f"{plan['steps_per_pass']:.1f} steps, {100 * plan['cropped_share']:.1f} % cropped off, "
        f"{plan['dropped']} utts dropped; "
        f"reads {plan['audio_bytes_per_pass'] / 1e6:.1f} MB of FLAC; "
        f"labels take {plan['label_bytes'] / 1e6:.1f} MB"
    )
    if max_steps and plan["steps_per_pass"]:
        passes = max_steps / plan["steps_per_pass"]
        hours = passes * plan["hours_per_pass"]
        print(f"{max_steps} steps: {passes:.1f} passes, {hours:.1f} h of audio")


if __name__ == "__main__":
    run_main(main)
