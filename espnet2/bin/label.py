"""Stage 5: one cluster id for every 20 ms of a set, and how good the ids are.

Writes OUT/<shard>.u16 (one unit a shard), quality.json, quality.png, quality_histograms.npz (frames
of each cluster by language) and, when all of it holds, labels.json. --export_text FILE adds
ESPnet's text form (``utt 12 873 …``); --import_text FILE takes the labels from such a file instead
of computing them.

examples:
  python3 -m espnet2.bin.label --conf conf/mini.yaml --index dump/train/index.arrow \\
      --codebook exp/tokens/mini --out dump/train/labels/mini
"""

import argparse
import hashlib
from pathlib import Path
from typing import Any

from espnet2.data.index import Index, ShardRows, index_json
from espnet2.data.labels import SIDECAR, labels_file
from espnet2.tokens.codebook import FILE, Codebook, check_teacher, load_codebook
from espnet2.tokens.config import TokensConfig
from espnet2.tokens.quality.counts import counts_file
from espnet2.tokens.teachers.registry import teacher_config, teacher_files
from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import from_dict, load_section, to_dict
from espnet2.utils.units import Unit, content_hash, run_units

TOGETHER = 32  # shards that a process labels one after the other, with one teacher: 32 GB or 480 h


def main(argv: list[str] | None = None) -> int:
    """Label every shard, then check and describe the whole set."""
    parser = step_parser(__doc__)
    parser.add_argument("--index", type=Path, required=True, metavar="DIR",
                        help="the set, such as dump/train")  # fmt: skip
    parser.add_argument("--codebook", type=Path, required=True, metavar="DIR",
                        help="folder of stage 4, exp/tokens/<tag>")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR",
                        help="folder to write: the labels")  # fmt: skip
    text = parser.add_mutually_exclusive_group()
    text.add_argument("--export_text", type=Path, metavar="FILE",
                      help="also write the labels as text (default: no)")  # fmt: skip
    text.add_argument("--import_text", type=Path, metavar="FILE",
                      help="read the labels from text (default: make them)")  # fmt: skip
    args = parser.parse_args(argv)
    for name in ("index", "codebook", "out"):
        setattr(args, name, getattr(args, name).absolute())
    config = from_dict(TokensConfig, load_section(args.conf, "tokens", args.set), "tokens")
    index = Index.open(args.index)
    book = load_codebook(args.codebook)
    if args.import_text:
        units = [import_unit(index, args, book.num_clusters)]
    else:
        check_settings(book, config)
        units = shard_units(index, config, args)
    forget_other_source(args)
    last = [finish_unit(index, units, config, args)]
    text = [export_unit(args)] if args.export_text else []
    return run_units(units, args) or run_units(last, args) or (run_units(text, args) if text else 0)


def check_settings(book: Codebook, config: TokensConfig) -> None:
    """Refuse settings that every shard would refuse, before the first marker is given up for them.

    Raises:
        ConfigError: another teacher, layer, setting or checkpoint than the codebook's, or none.
    """
    settings = teacher_config(config.teacher, config.teacher_conf)
    files = teacher_files(config.teacher, config.teacher_conf)
    now = {key: getattr(settings, key, value) for key, value in book.teacher.items()}
    if hasattr(settings, "checkpoint"):
        now["checkpoint_sha256"] = content_hash(files[0])  # which the units need too
    check_teacher(book, {**now, "teacher": config.teacher}, book.dim)


def forget_other_source(args: argparse.Namespace) -> None:
    """Undo the markers of labels that the other way, text or teacher, wrote into the same files."""
    for marker in args.out.glob(".*.u16.done" if args.import_text else ".import.done"):
        marker.unlink()


def shard_units(index: Index, config: TokensConfig, args: argparse.Namespace) -> list[Unit]:
    """Label each shard; it stays done while its own rows, the codebook and the teacher stay."""
    # Of what 10^5 units have in common there is one object.
    settings, teacher = to_dict(config), teacher_options(config)
    inputs = [args.codebook / FILE, *teacher_files(config.teacher, config.teacher_conf)]
    return [
        shard_unit(index, shard, labels_file(args.out, shard.name), settings, teacher, inputs, args)
        for shard in index.each_shard()
    ]


def shard_unit(
    index: Index, shard: ShardRows, out: Path, settings: dict[str, Any], teacher: dict[str, Any],
    inputs: list[Path], args: argparse.Namespace,
) -> Unit:  # fmt: skip
    """The unit that labels one shard."""
    return Unit(
        name=f"label.{args.out.parent.parent.name}.{shard.name.replace('/', '.')}",
        entry="espnet2.tokens.assign:label_shard",
        kwargs={
            "index": args.index,
            "shard": shard.name,
            "rows": [shard.rows.start, shard.rows.stop],
            "codebook": args.codebook,
            "out": out,
            "config": settings,
            "device": "cuda" if args.ngpu else "cpu",
        },
        marker=args.out / f".{out.name}.done",
        inputs=inputs,
        options={"teacher": teacher, "rows": rows_digest(index, shard.rows)},
        outputs=[out, counts_file(out)],
        gpus=min(args.ngpu, 1),
        together=TOGETHER,
    )


def rows_digest(index: Index, rows: range) -> str:
    """Digest of the audio and the languages of consecutive rows."""
    part = slice(rows.start, rows.stop)
    languages = "\n".join(index.languages[part]).encode()
    return hashlib.sha256(index.content_hashes[part].tobytes() + languages).hexdigest()


def teacher_options(config: TokensConfig) -> dict[str, Any]:
    """What of the section decides a label, beside the codebook."""
    return {"teacher": config.teacher, "teacher_conf": config.teacher_conf}


def import_unit(index: Index, args: argparse.Namespace, num_clusters: int) -> Unit:
    """Labels from text instead of a teacher."""
    files = [labels_file(args.out, shard.name) for shard in index.each_shard()]
    return Unit(
        name=f"label.{args.out.parent.parent.name}.import",
        entry="espnet2.tokens.text:import_text",
        kwargs={
            "index": args.index,
            "text": args.import_text.absolute(),
            "folder": args.out,
            "num_clusters": num_clusters,
        },
        marker=args.out / ".import.done",
        inputs=[index_json(args.index), args.codebook / FILE, args.import_text],
        outputs=[*files, *map(counts_file, files)],
    )


def finish_unit(
    index: Index, units: list[Unit], config: TokensConfig, args: argparse.Namespace
) -> Unit:
    """Check all files, measure quality, write the sidecar."""
    return Unit(
        name=f"label.{args.out.parent.parent.name}.quality",
        entry="espnet2.tokens.finish:finish_labels",
        kwargs={
            "index": args.index,
            "folder": args.out,
            "codebook": args.codebook,
            "max_dead_ratio": config.max_dead_ratio,
            "index_sha256": index.fingerprint,
        },
        marker=args.out / ".labels.done",
        inputs=[index_json(args.index), args.codebook / FILE, *(unit.marker for unit in units)],
        options={"max_dead_ratio": config.max_dead_ratio},
        outputs=[args.out / name for name in (SIDECAR, "quality.json", "quality.png")],
    )


def export_unit(args: argparse.Namespace) -> Unit:
    """Write the labels as text."""
    return Unit(
        name=f"label.{args.out.parent.parent.name}.export",
        entry="espnet2.tokens.text:export_text",
        kwargs={
            "index": args.index,
            "folder": args.out,
            "text": args.export_text.absolute(),
        },
        marker=args.export_text.with_name(f".{args.export_text.name}.done"),
        inputs=[args.out / SIDECAR, args.out / ".labels.done"],
        outputs=[args.export_text],
    )


if __name__ == "__main__":
    run_main(main)
