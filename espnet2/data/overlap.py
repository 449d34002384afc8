"""Which utterances of the evaluation are in the pre-training set: by content and by name.

Content: the same 16 kHz samples, by the hash that the index keeps, of the audio as it is and as
stage 2 would trim it. Two decodings or copies that differ in one sample are not found that way.
Name: an utterance id or file stem of the evaluation is an utterance id or recording of the
pre-training set, with or without the corpus's name and ``-`` or ``_`` before it.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from espnet2.data.audio import content_hash, load_pcm, trim_edges
from espnet2.data.config import FormatConfig
from espnet2.data.index import Index
from espnet2.data.kaldi import Utterance, iter_kaldi
from espnet2.data.kaldi.tables import entries
from espnet2.data.sources import source_file
from espnet2.data.tsv import Dropped, read_dropped, read_rows, write_dropped, write_rows
from espnet2.utils.errors import DataError
from espnet2.utils.files import write_json
from espnet2.utils.logs import log

HASHES = ("hash", "hash_trimmed")
PART_COLUMNS = ("utt_id", "stem", "corpus", "language", *HASHES)
COLUMNS = (
    "set", "utt_id", "corpus", "language", "pretraining_utt_id", "pretraining_corpus",
    "pretraining_language", "how",
)  # fmt: skip
HOW = ("content", "utterance id", "recording")
COUNTS = ("utterances", "by_content", "by_id", "overlapping")
Cells = dict[tuple[str, str], dict[str, int]]  # (corpus, language) -> counts
MAX_SHOWN = 40


class Evaluated(NamedTuple):
    """An utterance of the evaluation."""

    set: str
    utt_id: str
    stem: str
    corpus: str
    language: str
    hashes: frozenset[int]


@dataclass(frozen=True)
class Found:
    """An utterance of the evaluation that the pre-training set holds."""

    number: int  # of the evaluated utterance
    row: int  # of the index
    how: str  # one of HOW


def hash_part(folder: Path, first: int, last: int, config: FormatConfig, out: Path) -> int:
    """Decode and hash the utterances [first, last) of a directory; returns how many were read.

    Writes OUT and, for audio that cannot be read, OUT with the ending ``.dropped.tsv``.
    """
    path = folder / "utt2corpus"
    corpora = {e.key: e.value for e in entries(path)} if path.is_file() else {}
    rows, dropped = [], []
    for utterance in itertools.islice(iter_kaldi(folder), first, last):
        hashes = ["", ""]
        try:
            hashes = hashes_of(utterance, config)
        except (OSError, DataError) as error:
            dropped.append(Dropped(utt_id=utterance.utt_id, reason="unreadable", detail=str(error)))
        stem = PurePath(source_file(utterance.source)).stem
        corpus = corpora.get(utterance.utt_id, "")
        rows.append((utterance.utt_id, stem, corpus, utterance.language, *hashes))
    write_dropped(out.with_suffix(".dropped.tsv"), dropped)
    write_rows(out, PART_COLUMNS, rows)
    return len(rows) - len(dropped)


def hashes_of(utterance: Utterance, config: FormatConfig) -> tuple[str, str]:
    """The hash of the audio, and of what stage 2 would leave of it: hexadecimal digits."""
    samples = load_pcm(utterance.source, utterance.start_s, utterance.end_s).samples
    whole = content_hash(samples)
    if not config.trim_edges:
        return whole, whole
    trimmed = trim_edges(samples, config.trim_below_peak_db, config.trim_keep_s)
    return whole, whole if len(trimmed) == len(samples) else content_hash(trimmed)


def join(index: Path, parts: dict[str, list[Path]], out: Path) -> dict[str, dict[str, int]]:
    """Write OUT (a row an overlap) and OUT as ``.json`` (counts by set, corpus and language).

    parts: the tables of :func:`hash_part` of each set. In memory: the evaluation, not the index.
    Returns the counts of each set.
    """
    tables = [(name, part) for name in parts for part in parts[name]]
    evaluated = [evaluated_row(name, row) for name, part in tables for row in read_rows(part)]
    opened = Index.open(index)
    found = sorted(overlaps(opened, evaluated), key=lambda f: (f.number, HOW.index(f.how), f.row))
    write_rows(out, COLUMNS, (overlap_row(opened, evaluated[f.number], f) for f in found))
    counts = {name: count(name, evaluated, found) for name in parts}
    totals = {name: total(cells.values()) for name, cells in counts.items()}
    unreadable = {
        name: sum(len(read_dropped(p.with_suffix(".dropped.tsv"))) for p in parts[name])
        for name in parts
    }
    write_json(
        out.with_suffix(".json"),
        {
            "index": opened.fingerprint, "total": totals, "unreadable": unreadable,
            "sets": {name: nested(cells) for name, cells in counts.items()},
        },
    )  # fmt: skip
    for name in parts:
        report(name, counts[name], totals[name], unreadable[name], out)
    return totals


def evaluated_row(name: str, row: dict[str, str]) -> Evaluated:
    """A row of a part."""
    hashes = frozenset(int(row[column], 16) for column in HASHES if row[column])
    return Evaluated(name, row["utt_id"], row["stem"], row["corpus"], row["language"], hashes)


def overlaps(index: Index, evaluated: list[Evaluated]) -> Iterator[Found]:
    """Every overlap, the index a chunk at a time.

    Of the rows of one recording only the first is named: a recording may have thousands.
    """
    by_hash, by_name = defaultdict(list), defaultdict(list)
    for number, utterance in enumerate(evaluated):
        for digest in utterance.hashes:
            by_hash[digest].append(number)
        for name in {utterance.utt_id, utterance.stem}:
            by_name[name].append(number)
    wanted = np.array(sorted(by_hash), dtype=np.uint64)
    names_in = lru_cache(maxsize=2)(lambda corpus: with_prefixes(by_name, corpus))
    known_recordings: set[tuple[str, str]] = set()  # (corpus, recording) of those found
    for chunk in index.chunks():
        digests = index.content_hashes[chunk]
        for place in np.flatnonzero(np.isin(digests, wanted)).tolist():
            for number in by_hash[int(digests[place])]:
                yield Found(number, chunk.start + place, HOW[0])
        utt_ids, recordings = index.utt_ids[chunk], index.recordings[chunk]
        codes = index.corpora.codes[chunk]
        for code in np.unique(codes).tolist():
            corpus = index.corpora.name(code)
            names = names_in(corpus)
            for place in np.flatnonzero(codes == code).tolist():
                row, utt_id, recording = chunk.start + place, utt_ids[place], recordings[place]
                for number in names.get(utt_id, ()):
                    yield Found(number, row, HOW[1])
                again = recording == utt_id or (corpus, recording) in known_recordings
                if recording in names and not again:
                    known_recordings.add((corpus, recording))
                    for number in names[recording]:
                        yield Found(number, row, HOW[2])


def with_prefixes(by_name: dict[str, list[int]], corpus: str) -> dict[str, list[int]]:
    """The names as a corpus may write them: alone, or after its own name."""
    forms = {f"{corpus}{mark}{name}": by_name[name] for name in by_name for mark in "-_"}
    return forms | by_name


def overlap_row(index: Index, utterance: Evaluated, found: Found) -> tuple[str, ...]:
    """A row of the table of overlaps."""
    row = found.row
    return (
        utterance.set, utterance.utt_id, utterance.corpus, utterance.language,
        index.utt_ids[row], index.corpora[row], index.languages[row], found.how,
    )  # fmt: skip


def count(name: str, evaluated: list[Evaluated], found: list[Found]) -> Cells:
    """Utterances of a set, and how many of them overlap: by content, by id, either way."""
    by_content = {f.number for f in found if f.how == HOW[0]}
    by_id = {f.number for f in found if f.how != HOW[0]}
    cells: Cells = defaultdict(lambda: dict.fromkeys(COUNTS, 0))
    for number, utterance in enumerate(evaluated):
        if utterance.set == name:
            cell = cells[utterance.corpus, utterance.language]
            cell["utterances"] += 1
            cell["by_content"] += number in by_content
            cell["by_id"] += number in by_id
            cell["overlapping"] += number in by_content or number in by_id
    return dict(sorted(cells.items()))


def total(cells: Iterable[dict[str, int]]) -> dict[str, int]:
    """The sum of counts."""
    cells = list(cells)
    return {name: sum(cell[name] for cell in cells) for name in COUNTS}


def nested(cells: Cells) -> dict[str, dict[str, dict[str, int]]]:
    """Corpus -> language -> counts."""
    corpora: dict[str, dict[str, dict[str, int]]] = {}
    for (corpus, language), cell in cells.items():
        corpora.setdefault(corpus, {})[language] = cell
    return corpora


def report(name: str, cells: Cells, counts: dict[str, int], unreadable: int, out: Path) -> None:
    """A line of a set, and a line for each corpus and language that overlaps."""
    lost = f"; {unreadable} could not be read" if unreadable else ""
    log(
        f"overlap {name}: {counts['overlapping']} of {counts['utterances']} utterances are in the "
        f"pre-training set ({counts['by_content']} by content, {counts['by_id']} by id){lost}"
    )
    worst = sorted(cells.items(), key=lambda item: -item[1]["overlapping"])
    worst = [(key, cell) for key, cell in worst if cell["overlapping"]]
    for (corpus, language), cell in worst[:MAX_SHOWN]:
        log(
            f"  {corpus} {language}: {cell['overlapping']} of {cell['utterances']} "
            f"({cell['by_content']} by content, {cell['by_id']} by id)"
        )
    if len(worst) > MAX_SHOWN:
        log(f"  and {len(worst) - MAX_SHOWN} more languages, see {out.with_suffix('.json')}")
