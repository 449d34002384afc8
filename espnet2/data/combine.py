"""Stage 3: the corpora's indexes become one training set and one validation set.

No audio is copied: the merged indexes point into the corpora's shards. A recording goes to
validation as a whole, by a hash of the seed and its name, so adding a corpus moves no other.
"""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espnet2.data.config import CombineConfig
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.hours import summary
from espnet2.data.index import Coded, Index, write_index
from espnet2.data.merge import split_duplicates
from espnet2.data.tsv import write_dropped
from espnet2.utils.errors import DataError
from espnet2.utils.files import write_json
from espnet2.utils.logs import log

MAX_LANGUAGES_SHOWN = 40


def combine(dump: Path, corpora: list[str], config: CombineConfig, seed: int) -> dict[str, float]:
    """Write DUMP/{train,valid}/index.arrow, DUMP/hours.json and DUMP/dropped.tsv.

    Rows are ordered by corpus name, then as in the corpus's own index. Raises DataError when an
    utterance id appears in two corpora, or when nothing is left to train on.
    """
    tables = [Index.open(dump / name, dump).table for name in sorted(corpora, key=str.encode)]
    table = pa.concat_tables(tables)
    refuse_repeated_ids(table)
    first, duplicates = split_duplicates(table)
    write_dropped(dump / "dropped.tsv", duplicates)
    kept = table.take(first)
    in_valid = held_out(kept, config.valid_ratio, seed)
    for name, rows in (("train", ~in_valid), ("valid", in_valid)):
        write_index(dump / name / "index.arrow", kept.filter(pa.array(rows)))
    train, valid = Index.open(dump / "train"), Index.open(dump / "valid")
    if not len(train):
        raise DataError(f"{dump}: no utterance is left for training; lower combine.valid_ratio")
    hours = {"train": hours_of(train), "valid": hours_of(valid)}
    write_json(dump / "hours.json", hours)
    print_hours(hours)
    reasons = Counter(d.reason for d in duplicates)
    hours_in = float(np.sum(table["num_samples"].to_numpy(), dtype=np.int64)) / SAMPLE_RATE_HZ
    log(summary(len(table), hours_in / 3600, len(kept), train.hours + valid.hours, reasons))
    log(f"train {len(train)} utts / {train.hours:.2f} h; valid {len(valid)} / {valid.hours:.2f} h")
    return {"train_hours": train.hours, "valid_hours": valid.hours}


def refuse_repeated_ids(table: pa.Table) -> None:
    """Raise DataError when two corpora share an utterance id."""
    counts = table["utt_id"].value_counts()
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(twice):
        raise DataError(
            f"utterance id {twice[0]} appears in two corpora; put the corpus's name before the "
            f"ids in its data directory"
        )


def held_out(table: pa.Table, ratio: float, seed: int) -> np.ndarray:
    """(rows,) bool: True where the row's recording is held out for validation.

    A share ``ratio`` of the recordings; at least one, if there are two recordings and a ratio.
    """
    columns = (table[name].to_pylist() for name in ("corpus", "recording"))
    names = [f"{corpus}/{recording}" for corpus, recording in zip(*columns, strict=True)]
    draws = {name: uniform_hash(seed, name) for name in set(names)}
    if ratio <= 0 or len(draws) < 2:
        return np.zeros(len(names), bool)
    limit = max(ratio, min(draws.values()) + np.finfo(float).eps)
    return np.array([draws[name] < limit for name in names])


def uniform_hash(seed: int, name: str) -> float:
    """A number in [0, 1) that depends on the seed and the name alone."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64


def hours_of(index: Index) -> dict[str, dict]:
    """Utterances and hours in all, by corpus, and by language."""
    return {
        "total": {"utterances": len(index), "hours": round(index.hours, 4)},
        "corpora": by_name(index, index.corpora),
        "languages": by_name(index, index.languages),
    }


def by_name(index: Index, column: Coded) -> dict[str, dict[str, float]]:
    """Utterances and hours for each name of a coded column."""
    size = len(column.names)
    counts = np.bincount(column.codes, minlength=size)
    samples = np.bincount(column.codes, weights=index.num_samples, minlength=size)
    return {
        name: {"utterances": int(n), "hours": round(float(s) / SAMPLE_RATE_HZ / 3600, 4)}
        for name, n, s in zip(column.names, counts, samples, strict=True)
        if n
    }


def print_hours(hours: dict[str, dict]) -> None:
    """A table of hours to stdout: corpora, then languages by size."""
    print(f"{'':24} {'train h':>9} {'utts':>8} {'valid h':>9} {'utts':>8}")
    for kind in ("corpora", "languages"):
        names = sorted(
            hours["train"][kind].keys() | hours["valid"][kind].keys(),
            key=lambda name: (-hours["train"][kind].get(name, {}).get("hours", 0), name),
        )
        for name in names[:MAX_LANGUAGES_SHOWN]:
            print(table_line(name, [hours[s][kind].get(name) for s in ("train", "valid")]))
        if len(names) > MAX_LANGUAGES_SHOWN:
            print(f"  and {len(names) - MAX_LANGUAGES_SHOWN} more {kind}, see hours.json")
    print(table_line("total", [hours[s]["total"] for s in ("train", "valid")]), flush=True)


def table_line(name: str, cells: list[dict[str, float] | None]) -> str:
    """One line of the table of hours."""
    cells = [cell or {"hours": 0.0, "utterances": 0} for cell in cells]
    return f"{name:24} " + " ".join(f"{c['hours']:9.3f} {c['utterances']:8}" for c in cells)
