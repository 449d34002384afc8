r"""Stage 2: Kaldi directories become 16 kHz mono FLAC shards and an index each.

A folder that holds several data directories stands for all of them but ``noise``, which is for
stage 6. Writes DUMP/<corpus>/{shards/NNN.ark,index.arrow,wav.scp,dropped.tsv}. One unit is one
shard.

examples:
  python3 -m espnet2.bin.format_data --conf conf/mini.yaml --data data/tuxpaint data/espeak \
      --dump dump
"""

from collections import Counter
from pathlib import Path
from typing import Any

from espnet2.data.config import FormatConfig
from espnet2.data.corpus_dirs import find_corpora
from espnet2.data.format.manifest import plan_shards
from espnet2.data.hours import summary
from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import from_dict, load_section, to_dict
from espnet2.utils.logs import log
from espnet2.utils.units import Unit, result_of, run_units

NOT_OF_A_SHARD = ("max_drop_ratio", "shard_hours", "allow_pipes", "vad_corpora", "vad")


def main(argv: list[str] | None = None) -> int:
    """Share out the audio, format every shard of every corpus, then join each corpus."""
    parser = step_parser(__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR",
                        help="data directories, or folders of them")  # fmt: skip
    parser.add_argument("--dump", type=Path, required=True, metavar="DIR",
                        help="folder to write: the formatted corpora")  # fmt: skip
    args = parser.parse_args(argv)
    config = from_dict(FormatConfig, load_section(args.conf, "format", args.set), "format")
    corpora = find_corpora(args.data)
    absent = sorted(set(config.vad_corpora) - {data.name for data in corpora})
    if absent:
        log(f"format.vad_corpora also names {', '.join(absent)}: not among the corpora of this run")
    dump = args.dump.absolute()
    plans = {data.name: plan_shards(data, dump / data.name, config) for data in corpora}
    shards = (
        shard_unit(manifest, name, config, digest)
        for name, plan in plans.items()
        for manifest, digest in plan.items()
    )
    merges = [merge_unit(dump / name, list(plan), config) for name, plan in plans.items()]
    status = run_units(shards, args) or run_units(merges, args)
    if status == 0:
        for unit in merges:
            log(f"{unit.kwargs['out'].name}: {total([result_of(unit)])}")
        log(f"all corpora: {total([result_of(unit) for unit in merges])}")
    return status


def shard_unit(manifest: Path, corpus: str, config: FormatConfig, digest: str) -> Unit:
    """The unit that formats one shard; ``digest`` stands for its manifest and its audio."""
    base = manifest.with_suffix("")
    options = {k: v for k, v in to_dict(config).items() if k not in NOT_OF_A_SHARD}
    vad = to_dict(config.vad) if corpus in config.vad_corpora else None
    ends = (".ark", ".arrow", ".json", ".dropped.tsv", ".summary.json")
    return Unit(
        name=f"format_{corpus}_{base.name}",
        entry="espnet2.data.format.shard_writer:format_shard",
        kwargs={"manifest": manifest, "corpus": corpus, "config": to_dict(config)},
        marker=base.with_name(f".{base.name}.done"),
        options={**options, "corpus": corpus, "vad": vad, "manifest": digest},
        outputs=[base.with_suffix(end) for end in ends],
    )


def merge_unit(out: Path, manifests: list[Path], config: FormatConfig) -> Unit:
    """The unit that joins the shards of one corpus."""
    return Unit(
        name=f"format_{out.name}",
        entry="espnet2.data.format.merge:merge_corpus",
        kwargs={"out": out, "manifests": manifests, "config": to_dict(config)},
        marker=out / ".format.done",
        inputs=[path.with_suffix(end) for path in manifests for end in (".json", ".summary.json")],
        # wav.scp names the shards by absolute paths: a folder that was moved needs a new one.
        options={"max_drop_ratio": config.max_drop_ratio, "out": str(out)},
        outputs=[out / name for name in ("index.arrow", "index.json", "wav.scp", "dropped.tsv")],
    )


def total(merged: list[dict[str, Any]]) -> str:
    """One line over the results of all merges."""
    dropped = sum((Counter(result["dropped"]) for result in merged), Counter())
    names = ("utterances_in", "hours_in", "utterances", "hours", "hours_no_speech")
    *flow, no_speech = (sum(result[name] for result in merged) for name in names)
    left_out = f"; {no_speech:.2f} h without speech left out" if no_speech else ""
    return summary(*flow, dropped) + left_out


if __name__ == "__main__":
    run_main(main)
