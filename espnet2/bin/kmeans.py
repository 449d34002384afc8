"""Stage 4: a codebook from a seeded sample of the training audio.

Reads section "tokens" of the recipe YAML. Writes OUT/codebook.safetensors and OUT/codebook.json.
Features are streamed: nothing but the sampled frames is kept, and in memory only. The fit takes
1 to 16 threads, by its size and not by --nj, or a GPU where --ngpu is given and faiss was built
for one.

examples:
  python3 -m espnet2.bin.kmeans --conf conf/mini.yaml --index dump/train/index.arrow \\
      --out exp/tokens/mini
"""

from pathlib import Path

from espnet2.data.index import index_json
from espnet2.tokens.codebook import FILE, STORY
from espnet2.tokens.config import TokensConfig
from espnet2.tokens.teachers.registry import teacher_files
from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import from_dict, load_section, load_seed, to_dict
from espnet2.utils.errors import ConfigError
from espnet2.utils.files import read_json
from espnet2.utils.units import Unit, run_units


def main(argv: list[str] | None = None) -> int:
    """Fit the codebook."""
    parser = step_parser(__doc__)
    parser.add_argument("--index", type=Path, required=True, metavar="DIR",
                        help="the training set, dump/train")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR",
                        help="folder to write: the codebook")  # fmt: skip
    args = parser.parse_args(argv)
    config = from_dict(TokensConfig, load_section(args.conf, "tokens", args.set), "tokens")
    refuse_converted(args.out)
    seed = load_seed(args.conf, args.set)
    options = {**to_dict(config), "seed": seed}
    del options["batch_seconds"]  # changes no result
    unit = Unit(
        name="codebook",
        entry="espnet2.tokens.kmeans:fit_codebook",
        kwargs={
            "index": args.index.absolute(),
            "out": args.out.absolute(),
            "config": to_dict(config),
            "seed": seed,
            "device": "cuda" if args.ngpu else "cpu",
        },
        marker=args.out / ".codebook.done",
        inputs=[index_json(args.index), *teacher_files(config.teacher, config.teacher_conf)],
        options=options,
        outputs=[args.out / FILE, args.out / STORY],
        gpus=min(args.ngpu, 1),
    )
    return run_units([unit], args)


def refuse_converted(folder: Path) -> None:
    """Leave a codebook alone that was brought from elsewhere."""
    if (folder / STORY).exists() and (source := read_json(folder / STORY).get("converted_from")):
        raise ConfigError(
            f"{folder} holds a codebook converted from {source['file']}; go on with the label "
            f"stage, or remove the folder to fit one"
        )


if __name__ == "__main__":
    run_main(main)
