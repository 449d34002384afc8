r"""Stage 10: an ML-SUPERB tree as Kaldi directories.

python3 -m espnet2.bin.superb_data --conf conf/mini.yaml --root downloads/ml_superb \
    --out dump/superb

Writes OUT/<track>/{train,dev,test}/{wav.scp,text,utt2lang,utt2corpus,utt2dur,utt2spk,spk2utt},
dropped.tsv beside them, OUT/languages.json and OUT/corpora.json. One unit is one language.
"""

import os
from argparse import Namespace
from pathlib import Path

from espnet2.data.superb import SPLITS, find_languages, transcripts
from espnet2.data.superb_sets import corpus_kinds
from espnet2.train.cells import FinetuneConfig, finetune_config
from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import load_section, to_dict
from espnet2.utils.files import sha256_text
from espnet2.utils.units import Unit, run_units


def main(argv: list[str] | None = None) -> int:
    """Read every language, then join them."""
    parser = step_parser(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="root of the ML-SUPERB tree")
    parser.add_argument("--out", type=Path, required=True, help="folder of the Kaldi directories")
    args = parser.parse_args(argv)
    config = finetune_config(load_section(args.conf, "finetune", args.set), str(args.conf))
    root = args.root.resolve()
    found = find_languages(root, config.data.corpora)
    units = [language_unit(root, found[language], language, config, args) for language in found]
    return run_units(units, args) or run_units([combine_unit(list(found), config, args)], args)


def language_unit(
    root: Path, corpora: list[str], language: str, config: FinetuneConfig, args: Namespace
) -> Unit:
    """The unit that reads one language."""
    out = args.out / "languages" / language
    return Unit(
        name=f"superb_{language}",
        entry="espnet2.data.superb_sets:write_language",
        kwargs={
            "root": root, "corpora": corpora, "language": language, "tracks": config.tracks,
            "config": to_dict(config.data), "out": out,
        },
        marker=out / ".rows.done",
        inputs=transcripts(root, corpora, language, config.tracks),
        options={
            "root": str(root), "corpora": corpora, "config": to_dict(config.data),
            "wavs": [wav_listing(root / corpus / language / "wav") for corpus in corpora],
        },
        outputs=[out / f"{track}.{split}.tsv" for track in config.tracks for split in SPLITS],
    )  # fmt: skip


def wav_listing(folder: Path) -> str:
    """Digest of names, sizes and times of a language's audio: a changed file is noticed."""
    if not folder.is_dir():
        return "missing"
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.stat()) for entry in entries]
    files = sorted((name, about.st_size, about.st_mtime_ns) for name, about in found)
    return sha256_text(repr(files))


def combine_unit(languages: list[str], config: FinetuneConfig, args: Namespace) -> Unit:
    """The unit that joins the languages."""
    parts, kinds = args.out / "languages", corpus_kinds(args.root)
    sets = [args.out / track / split for track in config.tracks for split in SPLITS]
    tables = [f"{track}.{split}" for track in config.tracks for split in SPLITS]
    ends = (".tsv", ".dropped.tsv")
    return Unit(
        name="superb_combine",
        entry="espnet2.data.superb_sets:combine",
        kwargs={
            "parts": parts, "languages": languages, "tracks": config.tracks,
            "config": to_dict(config.data), "kinds": kinds, "out": args.out,
        },
        marker=args.out / ".superb.done",
        inputs=[parts / name / (t + end) for name in languages for t in tables for end in ends],
        options={"config": to_dict(config.data), "kinds": kinds},
        outputs=[
            args.out / "languages.json", args.out / "corpora.json", *(s / "text" for s in sets)
        ],
    )  # fmt: skip


if __name__ == "__main__":
    run_main(main)
