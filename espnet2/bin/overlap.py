r"""Stage 10: which utterances of dev, test and further tests are in the pre-training set.

Writes OUT, a row an overlap, and beside it overlap.json, counts by set, corpus and language. By
content: the same 16 kHz samples, whole or trimmed as in stage 2 (section format). By name: an
utterance id or file name that is an utterance or recording of the pre-training set. One unit
decodes some thousands of utterances; sets that tracks share are done once.

examples:
  python3 -m espnet2.bin.overlap --conf conf/mini.yaml --index dump/train --data dump/superb \
      --out dump/superb/overlap.tsv
"""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from espnet2.data.config import FormatConfig
from espnet2.data.index import index_json
from espnet2.data.kaldi import audio_listing, audio_tables, count_utterances
from espnet2.data.superb import SuperbDataConfig
from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import from_dict, load_section, to_dict
from espnet2.utils.errors import DataError
from espnet2.utils.files import sha256_file
from espnet2.utils.units import Unit, run_units

UTTERANCES_A_UNIT = 4096


def main(argv: list[str] | None = None) -> int:
    """Hash the evaluation, then look for it in the index."""
    parser = step_parser(__doc__)
    parser.add_argument("--index", type=Path, required=True, metavar="DIR",
                        help="the training set, dump/train")  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, metavar="DIR",
                        help="sets of stage 10, dump/superb")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FILE",
                        help="table to write")  # fmt: skip
    args = parser.parse_args(argv)
    args.index, args.out = args.index.absolute(), args.out.absolute()
    config = from_dict(FormatConfig, load_section(args.conf, "format", args.set), "format")
    data = load_section(args.conf, "finetune", args.set).get("data", {})
    splits = from_dict(SuperbDataConfig, data, f"{args.conf}: finetune: data").splits
    parts = {
        name: list(part_units(name, folder, config, args))
        for name, folder in find_sets(args.data.absolute(), splits[1:]).items()
    }
    units = [unit for name in parts for unit in parts[name]]
    tables = {name: [unit.outputs[0] for unit in parts[name]] for name in parts}
    return run_units(units, args) or run_units([join_unit(tables, args)], args)


def find_sets(data: Path, splits: tuple[str, ...]) -> dict[str, Path]:
    """``{"10min/dev": folder, ...}``; of sets that several tracks share, the first."""
    found, seen = {}, set()
    for split in splits:
        for wav in sorted(data.glob(f"*/{split}/wav.scp")):
            content = tuple(map(sha256_file, audio_tables(wav.parent)))
            if content not in seen:
                found[f"{wav.parent.parent.name}/{split}"] = wav.parent
            seen.add(content)
    if not found:
        raise DataError(f"{data}: no <track>/dev or <track>/test here; run superb_data first")
    return found


def part_units(name: str, folder: Path, config: FormatConfig, args: Namespace) -> Iterator[Unit]:
    """The units that hash a set."""
    count, audio = count_utterances(folder), audio_listing(folder)
    trim = {key: value for key, value in to_dict(config).items() if key.startswith("trim_")}
    names = [folder / name for name in ("utt2corpus", "utt2lang")]
    files = [*audio_tables(folder), *(path for path in names if path.is_file())]
    for number, first in enumerate(range(0, count, UTTERANCES_A_UNIT)):
        last = min(first + UTTERANCES_A_UNIT, count)
        stem = f"{name.replace('/', '_')}_{number:03d}"
        out = args.out.parent / "overlap" / f"{stem}.tsv"
        yield Unit(
            name=f"overlap_{stem}",
            entry="espnet2.data.overlap:hash_part",
            kwargs={
                "folder": folder, "first": first, "last": last, "config": to_dict(config),
                "out": out,
            },
            marker=out.with_name(f".{stem}.done"),
            inputs=files,
            options={"first": first, "last": last, "audio": audio, **trim},
            outputs=[out, out.with_suffix(".dropped.tsv")],
        )  # fmt: skip


def join_unit(tables: dict[str, list[Path]], args: Namespace) -> Unit:
    """The unit that looks for the evaluation in the index."""
    return Unit(
        name="overlap",
        entry="espnet2.data.overlap:join",
        kwargs={"index": args.index, "parts": tables, "out": args.out},
        marker=args.out.with_name(f".{args.out.stem}.done"),
        inputs=[index_json(args.index), *(path for name in tables for path in tables[name])],
        options={"sets": list(tables)},
        outputs=[args.out, args.out.with_suffix(".json")],
    )


if __name__ == "__main__":
    run_main(main)
