"""Stage 2: Kaldi directories become 16 kHz mono FLAC shards and an index each.

python3 -m espnet2.bin.format_data --conf conf/mini.yaml --data data/tuxpaint data/synth --dump dump

A folder that holds several data directories stands for all of them but ``noise``, which is for
stage 6. Writes
DUMP/<corpus>/{shards/NNN.ark,index.arrow,wav.scp,dropped.tsv}. One unit is one shard.
"""

from pathlib import Path

from espnet2.data.config import FormatConfig
from espnet2.data.corpus_dirs import find_corpora
from espnet2.data.manifest import plan_shards
from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import from_dict, load_section, to_dict
from espnet2.utils.units import Unit, run_units


def main(argv: list[str] | None = None) -> int:
    """Share out the audio, format every shard of every corpus, then join each corpus."""
    parser = step_parser(__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR",
                        help="data directories, or folders of them")  # fmt: skip
    parser.add_argument("--dump", type=Path, required=True, help="folder of the formatted corpora")
    args = parser.parse_args(argv)
    config = from_dict(FormatConfig, load_section(args.conf, "format", args.set), "format")
    shards, merges = [], []
    for data in find_corpora(args.data):
        out = args.dump.absolute() / data.name
        manifests = plan_shards(data, out, config.shard_hours)
        shards += [shard_unit(path, data.name, config, manifests[path]) for path in manifests]
        merges.append(merge_unit(out, list(manifests), config))
    return run_units(shards, args) or run_units(merges, args)


def shard_unit(manifest: Path, corpus: str, config: FormatConfig, stamps: str) -> Unit:
    """The unit that formats one shard."""
    base = manifest.with_suffix("")
    return Unit(
        name=f"format_{corpus}_{base.name}",
        entry="espnet2.data.format:format_shard",
        kwargs={"manifest": manifest, "corpus": corpus, "config": to_dict(config)},
        marker=base.with_name(f".{base.name}.done"),
        inputs=[manifest],
        options={**to_dict(config), "max_drop_ratio": None, "audio": stamps},
        outputs=[base.with_suffix(end) for end in (".ark", ".arrow", ".dropped.tsv")],
    )


def merge_unit(out: Path, manifests: list[Path], config: FormatConfig) -> Unit:
    """The unit that joins the shards of one corpus."""
    ends = (".tsv", ".arrow", ".dropped.tsv")
    return Unit(
        name=f"format_{out.name}",
        entry="espnet2.data.merge:merge_corpus",
        kwargs={"out": out, "manifests": manifests, "config": to_dict(config)},
        marker=out / ".format.done",
        inputs=[path.with_suffix(end) for path in manifests for end in ends],
        options={"max_drop_ratio": config.max_drop_ratio},
        outputs=[out / "index.arrow", out / "wav.scp", out / "dropped.tsv"],
    )


if __name__ == "__main__":
    run_main(main)
