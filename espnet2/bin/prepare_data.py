"""Stage 1: prepare the corpora of a recipe, each as a Kaldi data directory.

Writes DATA/<corpus>/ (Kaldi directory of the pre-training audio, dropped.tsv, corpus.json). The
corpora of the mini recipe are fetched first, and their test parts become the ML-SUPERB tree
SUPERB_ROOT with corpora.json (which corpora are real). One unit is one corpus; one that is
switched off is removed from DATA.

examples:
  python3 -m espnet2.bin.prepare_data --conf conf/mini.yaml --corpora local/corpora.yaml \\
      --downloads downloads --superb_root downloads/ml_superb_mini --data data
"""

import argparse
import dataclasses
import importlib.metadata
import shlex
import shutil
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from espnet2.data.corpora.apt import Apt, NotOfferedError
from espnet2.data.corpora.config import CorporaSpec, DataConfig, MiniCorpus, load_corpora
from espnet2.data.corpora.debian import PackageStore
from espnet2.data.corpora.disk import refuse_missing, summary
from espnet2.data.corpora.kinds import Lhotse, OnDisk
from espnet2.data.corpora.lhotse import find_recipe
from espnet2.data.corpora.listing import listing_digest
from espnet2.data.corpora.synthetic import PHONES
from espnet2.data.corpora.tuxpaint import PACKAGE as PHRASES
from espnet2.utils.cli import run_main, step_parser
from espnet2.utils.config import from_dict, guess, load_section, load_seed, to_dict
from espnet2.utils.errors import ConfigError
from espnet2.utils.files import write_json
from espnet2.utils.logs import log
from espnet2.utils.units import Unit, is_done, result_of, run_units


def main(argv: list[str] | None = None) -> int:
    """Prepare every corpus that is asked for."""
    args = build_parser().parse_args(argv)
    spec = load_corpora(args.corpora, args.downloads)
    corpora = choose(spec.corpora, args.only, args.corpora)
    on_disk = {name: corpus for name, corpus in corpora.items() if isinstance(corpus, OnDisk)}
    mini = {name: corpus for name, corpus in corpora.items() if name not in on_disk}
    refuse_unusable(on_disk)
    disk = disk_units(on_disk, args)
    units = disk + mini_units(mini, spec, args) if mini else disk
    status = run_units(units, args)
    say_done(disk)
    if not args.only:
        say_left(args.data, spec.corpora)
    if status == 0 and mini:
        prepared = {unit.name.removeprefix("data_") for unit in units}
        labelled = {
            name: {"kind": corpus.role}
            for name, corpus in mini.items()
            if name in prepared and corpus.role in ("real", "unseen_voice")
        }
        write_json(args.superb_root / "corpora.json", labelled)
        say_totals(units)
    return status


def build_parser() -> argparse.ArgumentParser:
    """The options of this step."""
    parser = step_parser(__doc__)
    parser.add_argument("--corpora", type=Path, required=True, metavar="FILE",
                        help="YAML of the corpora")  # fmt: skip
    parser.add_argument("--only", default="", metavar="NAMES",
                        help="some of them, in quotes: 'mls fleurs' (default: all)")  # fmt: skip
    parser.add_argument("--downloads", type=Path, required=True, metavar="DIR",
                        help="folder of the corpora as fetched")  # fmt: skip
    parser.add_argument("--superb_root", type=Path, required=True, metavar="DIR",
                        help="folder to write: the ML-SUPERB tree")  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, metavar="DIR",
                        help="folder to write: Kaldi directories")  # fmt: skip
    parser.add_argument(
        "--with_unlabelled",
        choices=["true", "false"],
        help="take audio without transcripts, too (default: data.with_unlabelled)",
    )
    return parser


def choose(
    corpora: dict[str, MiniCorpus | OnDisk], only: str, path: Path
) -> dict[str, MiniCorpus | OnDisk]:
    """The corpora named in ``only``; all of them if it is empty. Raises ConfigError."""
    names = only.replace(",", " ").split() or list(corpora)
    for name in names:
        if name not in corpora:
            raise ConfigError(f"--only {name}: no such corpus in {path}{guess(name, corpora)}")
    return {name: corpus for name, corpus in corpora.items() if name in names}


def refuse_unusable(corpora: dict[str, OnDisk]) -> None:
    """Raise DataError or ConfigError where data, lhotse or one of its recipes is missing."""
    refuse_missing(corpora)
    for corpus in corpora.values():
        if isinstance(corpus, Lhotse) and corpus.recipe is not None:
            find_recipe(corpus.recipe)


def disk_units(corpora: dict[str, OnDisk], args: Namespace) -> list[Unit]:
    """A unit for each corpus that stands on the disk; done again when one of its files changes."""
    allow_pipes = bool(load_section(args.conf, "format", args.set).get("allow_pipes", False))
    units = []
    for name, corpus in corpora.items():
        job = {"corpus": name, "spec": to_dict(corpus), "data": args.data}
        job["allow_pipes"] = allow_pipes
        names = ("wav.scp", "dropped.tsv", "corpus.json")
        units.append(
            Unit(
                name=f"data_{name}",
                entry="espnet2.data.corpora.disk:prepare",
                kwargs={"job": job},
                marker=args.data / f".{name}.done",
                options={**job, "data": str(args.data), "files": listing_digest(corpus.path)},
                outputs=[args.data / name / file for file in names],
            )
        )
    return units


def mini_units(corpora: dict[str, MiniCorpus], spec: CorporaSpec, args: Namespace) -> list[Unit]:
    """Fetch the packages; a unit for each corpus of the mini recipe that can be prepared."""
    config = from_dict(DataConfig, load_section(args.conf, "data", args.set), f"{args.conf}: data")
    if args.with_unlabelled is not None:
        config = dataclasses.replace(config, with_unlabelled=args.with_unlabelled == "true")
    wanted = {
        name: corpus
        for name, corpus in corpora.items()
        if corpus.role != "unlabelled" or config.with_unlabelled
    }
    store = PackageStore(
        args.downloads, Apt(args.downloads / "debian/apt", spec.release, spec.mirror)
    )
    wanted = fetch(wanted, spec, store, config, args.nj)
    remove_unwanted([name for name in corpora if name not in wanted], args.data)
    return [mini_unit(name, corpus, spec, store, config, args) for name, corpus in wanted.items()]


def fetch(
    wanted: dict[str, MiniCorpus], spec: CorporaSpec, store: PackageStore, config: DataConfig,
    nj: int,
) -> dict[str, MiniCorpus]:  # fmt: skip
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


def mini_unit(
    name: str, corpus: MiniCorpus, spec: CorporaSpec, store: PackageStore, config: DataConfig,
    args: Namespace,
) -> Unit:  # fmt: skip
    """The unit that prepares one corpus."""
    packages = list(corpus.packages)
    if corpus.kind == "espeak" and config.real != "never" and PHRASES in spec.packages:
        packages += [PHRASES] if store.is_ready(PHRASES, spec.packages[PHRASES]) else []
    seed = load_seed(args.conf, args.set)
    job = {
        "corpus": name, "spec": to_dict(corpus), "config": to_dict(config), "seed": seed,
        "packages": {package: store.folder(package) for package in packages},
        "audio": args.downloads / name, "data": args.data, "root": args.superb_root,
    }  # fmt: skip
    version = {"espeak": espeak_version()} if corpus.kind == "espeak" else {}
    outputs = [args.data / name / "wav.scp"]
    outputs += [args.data / name / PHONES] if corpus.kind == "espeak" else []
    if corpus.role in ("real", "unseen_voice"):
        outputs += [
            args.superb_root / name / language / f"transcript_10min_{split}.txt"
            for language in corpus.codes
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
            "espeakng-loader is not installed; run tools/install.sh, or pip install 'xeus[recipe]'"
        ) from None


def say_done(units: list[Unit]) -> None:
    """The lines of the corpora on the disk that are prepared; of one that failed enough was said.

    A unit that is not up to date has no marker: it is removed before its work begins.
    """
    for unit in units:
        if is_done(unit):
            for line in summary(unit.kwargs["job"], result_of(unit)):
                log(line)


def say_left(data: Path, corpora: Iterable[str]) -> None:
    """Name what earlier runs prepared of corpora that are in the YAML no longer."""
    prepared = {marker.name[1 : -len(".done")] for marker in data.glob(".*.done")}
    left = sorted(name for name in prepared - set(corpora) if (data / name).is_dir())
    if left:
        folders = " ".join(shlex.quote(str(data / name)) for name in left)
        log(f"not in the YAML, and stage 2 takes them all the same: {folders}; remove them, or use "
            "--only")  # fmt: skip


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
