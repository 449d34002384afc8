"""The units of stage 10 by kind of data: one a language, a Parquet file or a Kaldi directory.

The last unit joins what they wrote.
"""

import os
from pathlib import Path

from espnet2.data import superb2, superb_kaldi
from espnet2.data.kaldi import audio_listing
from espnet2.data.phones import libraries
from espnet2.data.superb import FULL, SuperbDataConfig, find_languages, transcripts
from espnet2.data.superb_languages import NORMAL_LANGUAGES, RESERVED_LANGUAGES
from espnet2.data.superb_sets import corpus_kinds
from espnet2.utils.config import to_dict
from espnet2.utils.errors import ConfigError
from espnet2.utils.files import sha256_text
from espnet2.utils.logs import log
from espnet2.utils.units import Unit

ENDS = (".tsv", ".dropped.tsv")
SHOWN = 10  # languages in a line of the log
TOGETHER = 16  # languages or files that one process reads: starting it takes longer than some


def part_units(
    root: Path, tracks: list[str], config: SuperbDataConfig, out: Path
) -> dict[str, Unit]:
    """The units that read the data, by the folder of ``out/parts`` that each writes.

    Raises:
        ConfigError: tracks that data of this kind does not have.
        DataError: the root does not hold such data.
    """
    if config.kind != "ml_superb" and list(tracks) != [FULL]:
        raise ConfigError(
            f"finetune.tracks: data of kind {config.kind} has one training list: tracks: [{FULL}]"
        )
    if config.kind == "ml_superb" and FULL in tracks:
        raise ConfigError(f"finetune.tracks: ML-SUPERB has the tracks 10min and 1h, not {FULL}")
    units = {"ml_superb": tree_units, "ml_superb2": parquet_units, "kaldi": kaldi_units}
    return units[config.kind](root, tracks, config, out)


def tree_units(
    root: Path, tracks: list[str], config: SuperbDataConfig, out: Path
) -> dict[str, Unit]:
    """A unit a language of an ML-SUPERB tree."""
    found = find_languages(root, config.corpora, config.languages)
    absent = sorted({*NORMAL_LANGUAGES, *RESERVED_LANGUAGES} - found.keys())
    if absent:
        shown = ", ".join(absent[:SHOWN]) + (", ..." if len(absent) > SHOWN else "")
        log(f"not the whole benchmark: {len(absent)} of its 143 languages are not read: {shown}")
    units = {}
    for language, corpora in found.items():
        wavs = [wav_listing(root / corpus / language / "wav") for corpus in corpora]
        units[language] = unit(
            f"superb_{language}", "write_language", out / "parts" / language,
            [f"{track}.{split}" for track in tracks for split in config.splits],
            {
                "root": root, "corpora": corpora, "language": language, "tracks": list(tracks),
                "config": to_dict(config),
            },
            inputs=transcripts(root, corpora, language, tracks), options={"wavs": wavs},
        )  # fmt: skip
    return units


def parquet_units(
    root: Path, tracks: list[str], config: SuperbDataConfig, out: Path
) -> dict[str, Unit]:
    """A unit a file of ML-SUPERB 2.0."""
    units = {}
    for path, split in superb2.parquet_files(root).items():
        name, about = "_".join(path.relative_to(root).with_suffix("").parts), path.stat()
        units[name] = unit(
            f"superb_{name}", "write_file", out / "parts" / name,
            [f"{FULL}.{ours}" for ours in superb2.splits_of(split)],
            {"path": path, "split": split, "config": to_dict(config)},
            options={"file": [about.st_size, about.st_mtime_ns]},
        )  # fmt: skip
    return units


def kaldi_units(
    root: Path, tracks: list[str], config: SuperbDataConfig, out: Path
) -> dict[str, Unit]:
    """A unit a Kaldi directory."""
    return {
        split: unit(
            f"superb_{split}", "write_split", out / "parts" / split, [f"{FULL}.{split}"],
            {"folder": folder, "split": split, "config": to_dict(config)},
            inputs=superb_kaldi.split_files(folder), options={"audio": audio_listing(folder)},
        )
        for split, folder in superb_kaldi.split_folders(root, config).items()
    }  # fmt: skip


def unit(
    name: str, entry: str, folder: Path, tables: list[str], kwargs: dict,
    inputs: list[Path] | None = None, options: dict | None = None,
) -> Unit:  # fmt: skip
    """A unit that writes ``tables`` into ``folder``; its arguments decide its result too."""
    own = {key: str(value) if isinstance(value, Path) else value for key, value in kwargs.items()}
    return Unit(
        name=name, entry=f"espnet2.data.superb_sets:{entry}", kwargs={**kwargs, "out": folder},
        marker=folder / ".rows.done", inputs=inputs or [], options={**own, **(options or {})},
        outputs=[folder / f"{table}.tsv" for table in tables], together=TOGETHER,
    )  # fmt: skip


def combine_unit(
    root: Path, units: dict[str, Unit], config: SuperbDataConfig, out: Path, with_phones: bool
) -> Unit:
    """The unit that joins what the others wrote.

    with_phones: whether monolingual cells will want the phones of Japanese and Mandarin.
    """
    tables: dict[str, list[str]] = {}
    for folder, part in units.items():
        for path in part.outputs:
            tables.setdefault(path.stem.replace(".", "/"), []).append(folder)
    kinds = corpus_kinds(root) if config.kind == "ml_superb" else {}
    phones = libraries(may_have_phones(units, config)) if with_phones else {}
    decides = {"config": to_dict(config), "kinds": kinds, "phones": phones}
    return Unit(
        name="superb_combine",
        entry="espnet2.data.superb_sets:combine",
        kwargs={"parts": out / "parts", "tables": tables, **decides, "out": out},
        marker=out / ".superb.done",
        inputs=[path.with_name(path.stem + end) for u in units.values() for path in u.outputs
                for end in ENDS],
        options={**decides, "tables": tables},
        outputs=[
            out / "languages.json", out / "corpora.json", *(out / name / "text" for name in tables),
        ],
    )  # fmt: skip


def may_have_phones(units: dict[str, Unit], config: SuperbDataConfig) -> list[str]:
    """Languages whose phones to ask for: of a tree those it has, else those there may be."""
    return list(units) if config.kind == "ml_superb" else config.languages or ["cmn", "jpn"]


def wav_listing(folder: Path) -> str:
    """Digest of names, sizes and times of a language's audio: a changed file is noticed."""
    if not folder.is_dir():
        return "missing"
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.stat()) for entry in entries]
    files = sorted((name, about.st_size, about.st_mtime_ns) for name, about in found)
    return sha256_text(repr(files))
