r"""Stage 11: features of every encoder, then every cell of the ML-SUPERB matrix.

Writes OUT/<encoder>/features/<track>_<split>/ and, for each cell,
OUT/<encoder>/<task>_<track>_lr<lr>_seed<seed>/{config.yaml,vocabulary.txt,metrics.jsonl,model.pth}.
A unit is the features of one encoder and split, then one cell; a cell resumes at its checkpoints.

What fails does not stop the rest: failed.json in a cell's folder says why it is not trained. The
exit status is then 3.

examples:
  python3 -m espnet2.bin.finetune --conf conf/mini.yaml --data dump/superb \
      --export exp/ssl_mini/export --out exp/superb --nj 2 --seeds 3
"""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from espnet2.asr.config import mono_parts, task_kind
from espnet2.asr.members import is_member
from espnet2.data.phones import TEXT_PHONES, phone_languages
from espnet2.data.superb import SPLITS
from espnet2.evaluation.references import read_map
from espnet2.train.cells import CellConfig, FinetuneConfig, cells, finetune_config, other_settings
from espnet2.train.feature_units import Places, export_of, feature_units
from espnet2.train.preflight import refuse_encoders
from espnet2.utils.cli import SOME_FAILED, positive, run_main, step_parser
from espnet2.utils.config import load_section, to_dict
from espnet2.utils.errors import ConfigError
from espnet2.utils.files import write_json
from espnet2.utils.gpus import refuse_missing_gpus
from espnet2.utils.logs import log
from espnet2.utils.units import Unit, failed_units

TABLES = ("text", "utt2lang", "utt2corpus")


def main(argv: list[str] | None = None) -> int:
    """Features first; a cell whose features failed is not tried."""
    parser = step_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR",
                        help="sets of stage 10, dump/superb")  # fmt: skip
    parser.add_argument("--export", type=Path, metavar="DIR",
                        help="export folder of the pretrained model (default: none)")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR",
                        help="folder to write: encoders and cells")  # fmt: skip
    parser.add_argument("--seeds", type=positive, metavar="N",
                        help="train seeds 1 to N (default: the YAML's)")  # fmt: skip
    args = parser.parse_args(argv)
    config = finetune_config(load_section(args.conf, "finetune", args.set), str(args.conf))
    if args.seeds:
        config = replace(config, seeds=list(range(1, args.seeds + 1)))
    places = Places(data=args.data, export=args.export, out=args.out, ngpu=args.ngpu)
    refuse_missing_gpus(args.ngpu, args.cluster)
    refuse_encoders(config, places.export, is_exported_later=False)
    refuse_tasks_without_data(config, places.data)
    without = make_features(config, places, args)
    say_what_starts_over(config, places.out)
    units = [cell_unit(cell, places) for cell in cells(config)]
    failed = train_cells(units, without, args)
    if not failed and not without:
        return 0
    log(f"cells: {len(units)}, trained {len(units) - len(failed)}, failed {len(failed)}")
    return SOME_FAILED


def refuse_tasks_without_data(config: FinetuneConfig, data: Path) -> None:
    """Refuse languages or corpora that the tree does not have, before hours are spent on others.

    Raises:
        ConfigError: names the first folder that lacks some, and all that it lacks.
    """
    for folder in [data / track / split for track in config.tracks for split in SPLITS]:
        tables = [read_map(folder / name) for name in ("utt2lang", "utt2corpus")]
        found = {(language, tables[1].get(utt)) for utt, language in tables[0].items()}
        lacking = [
            task
            for task in config.cell_tasks
            if not has_member(task, folder.name, found, config.corpora.get(task, []))
        ]
        if lacking:
            raise ConfigError(
                f"{folder} has no utterance for {', '.join(lacking)}: give the whole tree, or "
                "leave out what it lacks in finetune.monolingual or finetune.corpora"
            )


def say_what_starts_over(config: FinetuneConfig, out: Path) -> None:
    """Name the cells in ``out`` that another configuration began: they are trained anew."""
    for cell in cells(config):
        name = f"{cell.encoder_name}/{cell.name}"
        if found := other_settings(out / name, cell):
            log(f"{name} was made with other settings ({found}) and is trained anew")


def has_member(task: str, split: str, places: set[tuple[str, str]], corpora: list[str]) -> bool:
    """Whether one of the (language, corpus) belongs to the task."""
    return any(is_member(task, split, *place, corpora) for place in places)


def make_features(config: FinetuneConfig, places: Places, args: Namespace) -> dict[Path, str]:
    """Compute and share the features; returns the folders without them, and why."""
    computed, shared = feature_units(config, places)
    why = failed_units(computed, args)
    without = {unit.marker.parent: why[unit.name] for unit in computed if unit.name in why}
    ready = [unit for unit in shared if unit.inputs[0].parent not in without]
    why = failed_units(ready, args) if ready else {}
    for unit in shared:
        reason = without.get(unit.inputs[0].parent) or why.get(unit.name)
        if reason:
            without[unit.marker.parent] = reason
    return without


def cell_unit(cell: CellConfig, places: Places) -> Unit:
    """The unit that trains one cell."""
    out = places.out / cell.encoder_name / cell.name
    data, features = places.data / cell.track, places.out / cell.encoder_name / "features"
    splits = ("train", "dev")
    return Unit(
        name=f"{cell.encoder_name}_{cell.name}",
        entry="espnet2.train.finetune:run_cell",
        kwargs={
            "out": out, "data": places.data, "features": features,
            "export": export_of(cell.encoder_name, cell.encoder, places.export),
            "cell": to_dict(cell), "ngpu": places.ngpu,
        },
        marker=out / ".cell.done",
        inputs=[
            *(data / split / name for split in splits for name in tables_of(cell, places.data)),
            *(features / f"{cell.track}_{split}" / "features.json" for split in splits),
        ],
        options={"cell": to_dict(cell)},
        outputs=[out / "model.pth", out / "vocabulary.txt", out / "config.yaml"],
        gpus=min(places.ngpu, 1),
        can_go_on=True,
    )  # fmt: skip


def tables_of(cell: CellConfig, data: Path) -> tuple[str, ...]:
    """The tables of a split that decide what a cell learns."""
    if task_kind(cell.task) == "mono" and mono_parts(cell.task)[0] in phone_languages(data):
        return (*TABLES, TEXT_PHONES)
    return TABLES


def train_cells(units: list[Unit], without: dict[Path, str], args: Namespace) -> dict[str, str]:
    """Train what has features; returns why the others failed, as failed.json of a cell does."""
    failed = {}
    for unit in units:
        reasons = [without[path.parent] for path in unit.inputs if path.parent in without]
        if reasons:
            failed[unit.name] = f"its features failed: {reasons[0]}"
            unit.marker.unlink(missing_ok=True)  # a model of other features is not to be scored
        (unit.marker.parent / "failed.json").unlink(missing_ok=True)
    failed |= failed_units([unit for unit in units if unit.name not in failed], args)
    for unit in units:
        if unit.name in failed:
            log_file = args.log_dir / f"{unit.name}.log"
            about = {"reason": failed[unit.name], "log": str(log_file)}
            write_json(unit.marker.parent / "failed.json", about)
    return failed


if __name__ == "__main__":
    run_main(main)
