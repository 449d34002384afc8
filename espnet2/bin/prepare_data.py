"""Stage 1: fetch the corpora of a recipe and prepare each.

python3 -m espnet2.bin.prepare_data --conf conf/mini.yaml --corpora local/corpora.yaml \\
    --downloads downloads --superb_root downloads/ml_superb_mini --data data

Writes DATA/<corpus>/ (Kaldi directory of the pre-training audio, dropped.tsv), the ML-SUPERB tree
under SUPERB_ROOT, and SUPERB_ROOT/corpora.json (which corpora are real). One unit is one corpus;
one that is switched off is removed from DATA.
"""

import argparse
import dataclasses
import importlib.metadata
import shutil
from argparse import Namespace
from pathlib import Path

from espnet2.data.corpora.apt import Apt, NotOfferedError
from espnet2.data.corpora.config import CorporaSpec, CorpusSpec, DataConfig, load_corpora
from espnet2.data.corpora.debian import PackageStore
from espnet2.data.corpora.tuxpaint import PACKAGE as PHRASES
from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import from_dict, load_section, load_seed, to_dict
from espnet2.utils.errors import ConfigError
from espnet2.utils.files import write_json
from espnet2.utils.logs import log
from espnet2.utils.units import Unit, result_of, run_units


def main(argv: list[str] | None = None) -> int:
    """Fetch the packages, then prepare every corpus."""
    args = build_parser().parse_args(argv)
    spec = load_corpora(args.corpora)
    config = from_dict(DataConfig, load_section(args.conf, "data", args.set), f"{args.conf}: data")
    if args.with_unlabelled is not None:
        config = dataclasses.replace(config, with_unlabelled=args.with_unlabelled == "true")
    wanted = {
        name: corpus
        for name, corpus in spec.corpora.items()
        if corpus.kind != "unlabelled" or config.with_unlabelled
    }
    store = PackageStore(
        args.downloads, Apt(args.downloads / "debian/apt", spec.release, spec.mirror)
    )
    wanted = fetch(wanted, spec, store, config, args.nj)
    remove_unwanted([name for name in spec.corpora if name not in wanted], args.data)
    units = [unit_of(name, corpus, spec, store, config, args) for name, corpus in wanted.items()]
    status = run_units(units, args)
    if status == 0:
        kinds = ("real", "unseen_voice")
        labelled = {n: {"kind": c.kind} for n, c in wanted.items() if c.kind in kinds}
        write_json(args.superb_root / "corpora.json", labelled)
        say_totals(units)
    return status


def build_parser() -> argparse.ArgumentParser:
    """The options of this step."""
    parser = step_parser(__doc__)
    parser.add_argument("--corpora", type=Path, required=True, help="YAML of the corpora")
    parser.add_argument("--downloads", type=Path, required=True, help="cache of what is fetched")
    parser.add_argument("--superb_root", type=Path, required=True, help="ML-SUPERB tree to write")
    parser.add_argument("--data", type=Path, required=True, help="folder of Kaldi directories")
    parser.add_argument(
        "--with_unlabelled", choices=["true", "false"], help="overrides data.with_unlabelled"
    )
    return parser


def fetch(
    wanted: dict[str, CorpusSpec], spec: CorporaSpec, store: PackageStore, config: DataConfig,
    nj: int,
) -> dict[str, CorpusSpec]:  # fmt: skip
    """Fetch the packages; returns the corpora that can be prepared."""
    without = {name: corpus for name, corpus in wanted.items() if not corpus.packages}
    if config.real == "never":
        return without
    names = dict.fromkeys(name for corpus in wanted.values() for name in corpus.packages)
    try:
        store.ensure({name: spec.packages[name] for name in names}, nj)
    except NotOfferedError as error:
        if config.real == "require":
            raise
        left_out = ", ".join(name for name in wanted if name not in without)
        log(f"WARNING: without {left_out}: {error}; going on with {', '.join(without)} alone")
        return without
    return wanted


def remove_unwanted(names: list[str], data: Path) -> None:
    """Delete what an earlier run prepared of these corpora, or later stages would take it."""
    for name in names:
        (data / f".{name}.done").unlink(missing_ok=True)
        if (data / name).is_dir():
            shutil.rmtree(data / name)
            log(f"{data / name} removed: this run is without the corpus {name}")


def unit_of(
    name: str, corpus: CorpusSpec, spec: CorporaSpec, store: PackageStore, config: DataConfig,
    args: Namespace,
) -> Unit:  # fmt: skip
    """The unit that prepares one corpus."""
    packages = list(corpus.packages)
    if corpus.reader == "espeak" and config.real != "never" and PHRASES in spec.packages:
        packages += [PHRASES] if store.is_ready(PHRASES, spec.packages[PHRASES]) else []
    seed = load_seed(args.conf, args.set)
    job = {
        "corpus": name, "spec": to_dict(corpus), "config": to_dict(config), "seed": seed,
        "packages": {package: store.folder(package) for package in packages},
        "audio": args.downloads / name, "data": args.data, "root": args.superb_root,
    }  # fmt: skip
    version = {"espeak": espeak_version()} if corpus.reader == "espeak" else {}
    outputs = [args.data / name / "wav.scp"]
    if corpus.kind in ("real", "unseen_voice"):
        outputs += [
            args.superb_root / name / language / f"transcript_10min_{split}.txt"
            for language in corpus.languages
            for split in ("train", "dev", "test")
        ]
    return Unit(
        name=f"data_{name}",
        entry="espnet2.data.corpora.mini:prepare",
        kwargs={"job": job},
        marker=args.data / f".{name}.done",
        inputs=[store.marker(package) for package in packages],
        options={"job": {key: str(value) for key, value in job.items()}, **version},
        outputs=outputs,
    )


def espeak_version() -> str:
    """The synthesizer's version: another one says other samples."""
    try:
        return importlib.metadata.version("espeakng-loader")
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError(
            "espeakng-loader is not installed; run tools/install.sh, or pip install espeakng-loader"
        ) from None


def say_totals(units: list[Unit]) -> None:
    """The stage's line, over all corpora."""
    results = [result for unit in units if "lists" in (result := result_of(unit))]
    count = sum(result["in"][0] for result in results)
    hours = sum(result["in"][1] for result in results) / 60
    totals: dict[str, list[float]] = {}
    dropped: dict[str, int] = {}
    for result in results:
        for name, pair in result["lists"].items():
            totals[name] = [a + b for a, b in zip(totals.get(name, [0, 0]), pair, strict=True)]
        for reason, number in result["dropped"].items():
            dropped[reason] = dropped.get(reason, 0) + number
    out = ", ".join(f"{name} {int(n)} utts / {m / 60:.2f} h" for name, (n, m) in totals.items())
    why = ", ".join(f"{reason} {number}" for reason, number in dropped.items())
    log(f"in: {count} utts / {hours:.2f} h -> out: {out}; dropped: {why or 'nothing'}")


if __name__ == "__main__":
    run_main(main)
