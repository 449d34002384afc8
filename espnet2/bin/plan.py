"""Stage 7: buckets of like length, sampling weights and passes, and what a run will cost.

Writes DUMP/{train,valid}/plan/{plan.json,rows.npy,dropped.tsv} (and starts.npy with ``pack_s``) and
prints hours, steps and bytes; with ``plan.hours_per_gpu_hour`` also GPU-hours.

examples:
  python3 -m espnet2.bin.plan --conf conf/mini.yaml --dump dump
"""

from dataclasses import replace
from pathlib import Path

from espnet2.data.config import PlanConfig
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import from_dict, load_section, load_seed, to_dict
from espnet2.utils.files import read_json
from espnet2.utils.units import Unit, run_units


def main(argv: list[str] | None = None) -> int:
    """Plan both sets, then print what a pass over the training set costs."""
    parser = step_parser(__doc__)
    parser.add_argument("--dump", type=Path, required=True, metavar="DIR",
                        help="folder of the train and valid sets")  # fmt: skip
    args = parser.parse_args(argv)
    config = from_dict(PlanConfig, load_section(args.conf, "plan", args.set), "plan")
    seed = load_seed(args.conf, args.set)
    sets = [args.dump.absolute() / name for name in ("train", "valid")]
    status = run_units([plan_unit(folder, config, seed) for folder in sets], args)
    if status == 0:
        plan = read_json(sets[0] / "plan/plan.json")
        pretrain = load_section(args.conf, "pretrain", args.set)
        print_cost(plan)
        print_run(plan, pretrain.get("max_steps"), config.hours_per_gpu_hour)
    return status


def plan_unit(folder: Path, config: PlanConfig, seed: int) -> Unit:
    """The unit that plans one set."""
    out = folder / "plan"
    arrays = ["rows"] if config.pack_s is None else ["rows", "starts"]
    # What an hour costs decides nothing: it neither plans again nor makes another plan.
    options = to_dict(replace(config, hours_per_gpu_hour=None))
    return Unit(
        name=f"plan_{folder.name}",
        entry="espnet2.data.plan:build_plan",
        kwargs={"index_path": folder / "index.arrow", "out": out, "config": options, "seed": seed},
        marker=out / ".plan.done",
        inputs=[folder / "index.json"],
        options={**options, "seed": seed},
        outputs=[out / "plan.json", out / "dropped.tsv", *(out / f"{n}.npy" for n in arrays)],
    )


def print_cost(plan: dict) -> None:
    """Batches of each length (rows: utterances or pieces), hours, steps and bytes of a pass."""
    print(f"{'length s':>8} {'rows':>11} {'batch':>6} {'steps':>12}")
    for bucket in plan["buckets"]:
        length_s = bucket["num_samples"] / SAMPLE_RATE_HZ
        steps = bucket["count"] / bucket["batch"]
        print(f"{length_s:8.2f} {bucket['count']:11} {bucket['batch']:6} {steps:12.1f}")
    print(
        f"one pass: {plan['hours_per_pass']:.2f} h of {plan['hours']:.2f} h, "
        f"{plan['steps_per_pass']:.1f} steps, {100 * plan['cropped_share']:.1f} % cropped off, "
        f"{plan['dropped']} utts dropped; "
        f"reads {readable(plan['audio_bytes_per_pass'])} of FLAC; "
        f"labels take {readable(plan['label_bytes'])}"
    )


def print_run(plan: dict, max_steps: int | None, hours_per_gpu_hour: float | None) -> None:
    """What ``max_steps`` steps cost; GPU-hours only with a throughput to reckon by."""
    if not max_steps or not plan["steps_per_pass"]:
        return
    passes = max_steps / plan["steps_per_pass"]
    hours = passes * plan["hours_per_pass"]
    print(
        f"{max_steps} steps: {passes:.1f} passes, {hours:.1f} h of audio, "
        f"{readable(passes * plan['audio_bytes_per_pass'])} read"
    )
    if hours_per_gpu_hour:
        trained = hours * (1 - plan["cropped_share"])
        print(
            f"at {hours_per_gpu_hour:g} h of audio a GPU-hour: "
            f"{trained / hours_per_gpu_hour:.1f} GPU-hours"
        )


def readable(num_bytes: float) -> str:
    """Bytes as MB, GB or TB."""
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{num_bytes / 1e6:.1f} MB"


if __name__ == "__main__":
    run_main(main)
