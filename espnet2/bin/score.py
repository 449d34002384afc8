"""Stage 12: decode every cell on dev and test, score it, choose learning rates on dev.

Cells are those that section finetune names; others, of an earlier matrix, are left out. Writes
<cell>/hyp/<split>.tsv for dev, test, dialects and every further test, and <cell>/score.json, then
OUT. One unit is one cell. A cell without a trained model, or whose scoring fails, is named in
OUT with its reason and does not stop the others; the exit status is then 3 where scoring failed, or
no cell at all has a score.

examples:
  python3 -m espnet2.bin.score --conf conf/mini.yaml --data dump/superb --cells exp/superb \\
      --out exp/superb/scores.json --seeds 3
"""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from espnet2.evaluation.cells import Cell, find_cells, parse_cell
from espnet2.evaluation.references import reference_files, scored_splits
from espnet2.evaluation.report.config import ReportConfig
from espnet2.evaluation.score_config import ScoreConfig
from espnet2.train.cells import CellConfig, FinetuneConfig, cells, finetune_config, other_settings
from espnet2.utils.cli import SOME_FAILED, positive, run_main, step_parser
from espnet2.utils.config import from_dict, load_section, to_dict
from espnet2.utils.gpus import refuse_missing_gpus
from espnet2.utils.logs import log
from espnet2.utils.units import Unit, failed_units, run_units

CELLS_A_PROCESS = 16  # scored by one process, which starts in seconds and scores in less


def main(argv: list[str] | None = None) -> int:
    """Score the cells, then put their scores together."""
    parser = step_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR",
                        help="sets of stage 10, dump/superb")  # fmt: skip
    parser.add_argument("--cells", type=Path, required=True, metavar="DIR",
                        help="cells of stage 11, exp/superb")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FILE",
                        help="scores.json to write")  # fmt: skip
    parser.add_argument("--seeds", type=positive, metavar="N",
                        help="score seeds 1 to N (default: the YAML's)")  # fmt: skip
    args = parser.parse_args(argv)
    refuse_missing_gpus(args.ngpu, args.cluster)
    section = load_section(args.conf, "report", args.set)
    config = from_dict(ReportConfig, section, f"{args.conf}: report").score
    recipe = finetune_config(load_section(args.conf, "finetune", args.set), str(args.conf))
    found = recipe_cells(recipe, args)
    why_not = {cell: why_not_scored(cell, settings) for cell, settings in found.items()}
    lost = {cell: f"not trained: {reason}" for cell, reason in why_not.items() if reason}
    for cell, reason in lost.items():
        log(f"{cell.name} {reason}")
    units = {
        cell: cell_unit(cell, config, [*recipe.data.tests, *recipe.corrupted], args)
        for cell in found
        if cell not in lost
    }
    why = failed_units(units.values(), args)
    unscored = {cell: f"not scored: {why[u.name]}" for cell, u in units.items() if u.name in why}
    scored = [cell for cell in units if cell not in unscored]
    log(
        f"in: {len(found)} cells -> out: {len(scored)} scored; without a model {len(lost)}, "
        f"not scored {len(unscored)}"
    )
    status = run_units([summary_unit(scored, lost | unscored, args)], args)
    return status or (SOME_FAILED if unscored or not scored else 0)


def why_not_scored(cell: Cell, settings: CellConfig) -> str:
    """Why a cell has nothing to score; "" where it has."""
    if not cell.is_trained:
        return cell.why_not_trained
    difference = other_settings(cell.folder, settings)
    if difference:
        return (
            f"only with other settings ({difference}); run stage 11 (finetune), or give the --conf "
            "it was trained with"
        )
    return ""


def recipe_cells(config: FinetuneConfig, args: Namespace) -> dict[Cell, CellConfig]:
    """The cells of the recipe, whether stage 11 has begun them or not; others are left out."""
    if args.seeds:
        config = replace(config, seeds=list(range(1, args.seeds + 1)))
    named = {parse_cell(args.cells / c.encoder_name / c.name): c for c in cells(config)}
    others = [cell.name for cell in find_cells(args.cells) if cell not in named]
    if others:
        log(f"left out, not of this recipe: {', '.join(others)}")
    return {cell: named[cell] for cell in sorted(named, key=lambda cell: cell.folder)}


def cell_unit(cell: Cell, config: ScoreConfig, further: list[str], args: Namespace) -> Unit:
    """The unit that decodes and scores one cell, on further tests, such as corrupted ones, too."""
    splits = scored_splits(args.data, cell, further)
    references = {
        path for split in splits for path in reference_files(args.data, cell.track, split)
    }
    return Unit(
        name=f"score_{cell.encoder}_{cell.folder.name}",
        entry="espnet2.evaluation.score:score_cell",
        kwargs={
            "folder": cell.folder,
            "data": args.data,
            "config": to_dict(config),
            "device": "cuda" if args.ngpu else "cpu",
            "corrupted": further,
        },
        marker=cell.folder / ".score.done",
        inputs=[*cell.files, *sorted(references)],
        options={"config": to_dict(config), "corrupted": further},
        outputs=[
            cell.folder / "score.json",
            *(cell.folder / "hyp" / f"{split}.tsv" for split in splits),
        ],
        gpus=min(args.ngpu, 1),
        together=CELLS_A_PROCESS,
    )


def summary_unit(scored: list[Cell], failed: dict[Cell, str], args: Namespace) -> Unit:
    """The unit that writes scores.json; ``failed``: cells without a score, and why."""
    reasons = {str(cell.folder): failed[cell] for cell in sorted(failed, key=lambda c: c.name)}
    return Unit(
        name="scores",
        entry="espnet2.evaluation.summary:summarise",
        kwargs={
            "cells": [cell.folder for cell in scored],
            "failed": reasons,
            "out": args.out,
        },
        marker=args.out.with_name(f".{args.out.stem}.done"),
        inputs=[cell.folder / "score.json" for cell in scored],
        options={"failed": reasons},
        outputs=[args.out],
    )


if __name__ == "__main__":
    run_main(main)
