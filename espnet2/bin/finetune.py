r"""Stage 11: features of every encoder, then every cell of the ML-SUPERB matrix.

python3 -m espnet2.bin.finetune --conf conf/mini.yaml --data dump/superb \
    --export exp/ssl_mini/export --out exp/superb --nj 2 --seeds 3

Writes OUT/<encoder>/features/<track>_<split>/ and, for each cell,
OUT/<encoder>/<task>_<track>_lr<lr>_seed<seed>/{config.yaml,vocabulary.txt,metrics.jsonl,model.pth}.
A unit is the features of one encoder and split, then one cell; a cell resumes at its checkpoints.
"""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from espnet2.data.kaldi import audio_listing
from espnet2.data.superb import SPLITS
from espnet2.train.cells import CellConfig, FinetuneConfig, cells, finetune_config
from espnet2.utils.cli import positive, run_main, step_parser
from espnet2.utils.config import load_section, to_dict
from espnet2.utils.errors import ConfigError
from espnet2.utils.units import Unit, run_units


def main(argv: list[str] | None = None) -> int:
    """Features first; a cell whose features failed is not tried."""
    parser = step_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="dump/superb of stage 10")
    parser.add_argument("--export", type=Path, help="export folder of the pretrained model")
    parser.add_argument("--out", type=Path, required=True, help="folder of encoders and cells")
    parser.add_argument("--seeds", type=positive, help="seeds 1 to this, instead of the YAML's")
    args = parser.parse_args(argv)
    config = finetune_config(load_section(args.conf, "finetune", args.set), str(args.conf))
    if args.seeds:
        config = replace(config, seeds=list(range(1, args.seeds + 1)))
    return run_units(feature_units(config, args), args) or run_units(
        [cell_unit(cell, args) for cell in cells(config)], args
    )


def feature_units(config: FinetuneConfig, args: Namespace) -> list[Unit]:
    """One unit for each encoder, track and split; training sets, the longest, first."""
    return [
        feature_unit(config, name, track, split, args)
        for split in (*SPLITS, *config.corrupted)
        for track in config.tracks
        for name in config.encoders
    ]


def feature_unit(
    config: FinetuneConfig, name: str, track: str, split: str, args: Namespace
) -> Unit:
    """The unit that computes the features of a split."""
    spec, data_dir = config.encoders[name], args.data / track / split
    out = args.out / name / "features" / f"{track}_{split}"
    export = None if spec.kind == "fbank" else export_of(name, spec.path or args.export)
    return Unit(
        name=f"features_{name}_{track}_{split}",
        entry="espnet2.asr.features:write_features",
        kwargs={
            "data_dir": data_dir, "encoder": to_dict(spec), "export": export,
            "config": to_dict(config.features), "device": "cuda" if args.ngpu else "cpu",
            "out": out,
        },
        marker=out / ".features.done",
        inputs=[data_dir / "wav.scp", data_dir / "utt2dur", *deciding_files(spec.kind, export)],
        options={
            "encoder": to_dict(spec), "config": to_dict(config.features),
            "audio": audio_listing(data_dir),
        },
        outputs=[out / "features.json"],
        gpus=min(args.ngpu, 1),
    )  # fmt: skip


def export_of(name: str, export: Path | None) -> Path:
    """The export folder of an encoder that needs one."""
    if export is None:
        raise ConfigError(f"encoder {name} needs an exported model: give --export or its path")
    return export


def deciding_files(kind: str, export: Path | None) -> list[Path]:
    """The files that stand for an encoder; weights.json, where there is one, hashes the weights."""
    if export is None:
        return []
    if kind == "random":
        return [export / "config.yaml"]
    about = export / "weights.json"
    weights = [about] if about.is_file() else sorted(export.glob("*.pth"))
    return [export / "config.yaml", *weights]


def cell_unit(cell: CellConfig, args: Namespace) -> Unit:
    """The unit that trains one cell."""
    out, features = (
        args.out / cell.encoder_name / cell.name,
        args.out / cell.encoder_name / "features",
    )
    sets = [(args.data / cell.track / s, features / f"{cell.track}_{s}") for s in SPLITS[:2]]
    tables = ("text", "utt2lang", "utt2corpus")
    export = None if cell.encoder.kind == "fbank" else cell.encoder.path or args.export
    return Unit(
        name=f"{cell.encoder_name}_{cell.name}",
        entry="espnet2.train.finetune:run_cell",
        kwargs={
            "out": out, "data": args.data, "features": features, "export": export,
            "cell": to_dict(cell), "ngpu": args.ngpu,
        },
        marker=out / ".cell.done",
        inputs=[
            *(data / name for data, _ in sets for name in tables),
            *(folder / "features.json" for _, folder in sets),
        ],
        options={"cell": to_dict(cell)},
        outputs=[out / "model.pth", out / "vocabulary.txt", out / "config.yaml"],
        gpus=min(args.ngpu, 1),
    )  # fmt: skip


if __name__ == "__main__":
    run_main(main)
