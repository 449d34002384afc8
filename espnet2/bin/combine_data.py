"""Stage 3: formatted corpora become one training and one validation set.

Writes DUMP/{train,valid}/index.arrow (pointing into the corpora's shards) and DUMP/hours.json,
and prints the hours by corpus and language, beside the paper_hours of DATA/<corpus>/corpus.json.
The corpora are the data directories of DATA, as in stage 2; what else an earlier run left in DUMP
stays out.

examples:
  python3 -m espnet2.bin.combine_data --conf conf/mini.yaml --data data --dump dump
"""

from pathlib import Path

from espnet2.data.config import CombineConfig
from espnet2.data.corpus_dirs import find_corpora
from espnet2.data.index import index_json
from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import from_dict, load_section, load_seed, to_dict
from espnet2.utils.files import read_json
from espnet2.utils.units import Unit, run_units


def main(argv: list[str] | None = None) -> int:
    """Combine the corpora."""
    parser = step_parser(__doc__)
    parser.add_argument("--dump", type=Path, required=True, metavar="DIR",
                        help="folder of the formatted corpora")  # fmt: skip
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--data", type=Path, nargs="+", metavar="DIR",
                       help="data directories, or folders of them")  # fmt: skip
    which.add_argument("--corpora", nargs="+", metavar="NAME", help="names of the corpora instead")
    args = parser.parse_args(argv)
    config = from_dict(CombineConfig, load_section(args.conf, "combine", args.set), "combine")
    dump = args.dump.absolute()
    folders = [] if args.corpora else find_corpora(args.data)
    corpora = sorted(set(args.corpora or [path.name for path in folders]), key=str.encode)
    paper_hours = {path.name: hours for path in folders if (hours := hours_in_paper(path))}
    seed = load_seed(args.conf, args.set)
    sets = [dump / "train", dump / "valid"]
    outputs = [*(path / "index.arrow" for path in sets), *map(index_json, sets)]
    unit = Unit(
        name="combine",
        entry="espnet2.data.combine:combine",
        kwargs={"dump": dump, "corpora": corpora, "config": to_dict(config), "seed": seed,
                "paper_hours": paper_hours},
        marker=dump / ".combine.done",
        inputs=[index_json(dump / name) for name in corpora],
        options={**to_dict(config), "corpora": corpora, "seed": seed, "paper_hours": paper_hours},
        outputs=[*outputs, dump / "hours.json", dump / "dropped.tsv"],
    )  # fmt: skip
    return run_units([unit], args)


def hours_in_paper(data: Path) -> float | None:
    """Hours that the paper reports for a corpus, where stage 1 wrote them down."""
    path = data / "corpus.json"
    return read_json(path).get("paper_hours") if path.is_file() else None


if __name__ == "__main__":
    run_main(main)
