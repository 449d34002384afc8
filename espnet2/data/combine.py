"""Stage 3: the corpora's indexes become one training set and one validation set.

No audio is copied: the merged indexes point into the corpora's shards. A recording goes to
validation as a whole, by a hash of the seed and its name, so adding a corpus moves no other. All
rows are streamed a few times; nothing in memory grows with them.
"""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espnet2.data.config import CombineConfig
from espnet2.data.duplicates import Duplicates, find_duplicates, scratch
from espnet2.data.hours import Tally, hours_table, summary
from espnet2.data.index import Index, record_batches
from espnet2.data.index.writer import IndexWriter
from espnet2.data.tsv import Dropped, write_dropped
from espnet2.utils.errors import DataError
from espnet2.utils.files import write_json
from espnet2.utils.logs import log

SETS = ("train", "valid")
IDS_AT_ONCE = 2**16


class Corpora:
    """The indexes of several corpora as one long row of utterances."""

    def __init__(self, indexes: list[Index]):
        self.indexes = indexes
        self.starts = np.cumsum([0, *map(len, indexes)])  # first row of each, then the rows in all

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def hours(self) -> float:
        """Hours of audio in all."""
        return sum(index.hours for index in self.indexes)

    def names(self) -> dict[str, list[str]]:
        """The names of each coded column, in the order of the corpora."""
        columns = {"shard": "shards", "language": "languages", "corpus": "corpora"}
        return {
            name: list(dict.fromkeys(n for i in self.indexes for n in getattr(i, column).known))
            for name, column in columns.items()
        }

    def utt_ids(self, rows: np.ndarray) -> list[str]:
        """The utterance ids of rows (n,), in any order."""
        numbers, found = np.searchsorted(self.starts, rows, side="right") - 1, [""] * len(rows)
        for number in np.unique(numbers):
            (places,) = np.nonzero(numbers == number)
            utt_ids = self.indexes[number].utt_ids[rows[places] - self.starts[number]]
            for place, utt_id in zip(places, utt_ids, strict=True):
                found[place] = utt_id
        return found

    def content_hashes(self) -> Iterator[np.ndarray]:
        """The content hashes of all rows, in chunks (n,) uint64."""
        for index in self.indexes:
            for chunk in index.chunks():
                yield index.content_hashes[chunk]

    def id_hashes(self) -> Iterator[np.ndarray]:
        """Python's hash of each utterance id, in chunks (n,) int64; no other kind meets it."""
        for index in self.indexes:
            for start in range(0, len(index), IDS_AT_ONCE):
                utt_ids = index.utt_ids[start : start + IDS_AT_ONCE]
                yield np.fromiter(map(hash, utt_ids), np.int64, len(utt_ids))

    def batches(self, duplicates: Duplicates) -> Iterator[pa.RecordBatch]:
        """All rows but the duplicates, batch by batch."""
        row = 0
        for index in self.indexes:
            for batch in record_batches(index.path):
                is_first = duplicates.is_first(row, row + len(batch))
                row += len(batch)
                yield batch if is_first.all() else batch.filter(pa.array(is_first))


def combine(
    dump: Path, corpora: list[str], config: CombineConfig, seed: int,
    paper_hours: dict[str, float] | None = None,
) -> dict[str, float]:  # fmt: skip
    """Write DUMP/{train,valid}/index.arrow, DUMP/hours.json and DUMP/dropped.tsv.

    Rows are ordered by corpus name, then as in the corpus's own index. paper_hours: what a paper
    reports for a corpus, shown beside ours. Raises DataError when an utterance id appears in two
    corpora, or when nothing is left to train on.
    """
    names = sorted(corpora, key=str.encode)
    rows = Corpora([Index.open(dump / name, dump) for name in names])
    with scratch(dump / ".combine") as folder:
        refuse_repeated_ids(rows, folder)
        duplicates = find_duplicates(rows.content_hashes(), len(rows), folder, "content")
        write_dropped(dump / "dropped.tsv", dropped_rows(rows, duplicates))
        limit = valid_limit(rows, duplicates, config.valid_ratio, seed)
        tallies = write_sets(dump, rows, duplicates, limit, seed)
    train, valid = (tallies[name] for name in SETS)
    if not train.utterances.any():
        raise DataError(f"{dump}: no utterance is left for training; lower combine.valid_ratio")
    hours = {name: tally.summary() for name, tally in tallies.items()}
    write_json(dump / "hours.json", hours | {"paper_hours": paper_hours or {}})
    print(hours_table(hours, paper_hours or {}), flush=True)
    reasons = Counter({"duplicate": duplicates.count} if duplicates.count else {})
    kept, hours_out = len(rows) - duplicates.count, train.hours + valid.hours
    log(summary(len(rows), rows.hours, kept, hours_out, reasons))
    counts = [int(tally.utterances.sum()) for tally in (train, valid)]
    log(f"train {counts[0]} utts / {train.hours:.2f} h; valid {counts[1]} / {valid.hours:.2f} h")
    return {"train_hours": train.hours, "valid_hours": valid.hours}


def refuse_repeated_ids(rows: Corpora, folder: Path) -> None:
    """Raise DataError when two corpora share an utterance id."""
    suspects = find_duplicates(rows.id_hashes(), len(rows), folder, "ids")
    for pairs in suspects.chunks():
        for utt_id, other, pair in zip(*map(rows.utt_ids, pairs.T), pairs, strict=True):
            if utt_id == other:
                places = np.searchsorted(rows.starts, pair, side="right") - 1
                first, second = sorted(rows.indexes[i].path.parent.name for i in places)
                raise DataError(
                    f"utterance id {utt_id} appears in two corpora, {first} and {second}; put the "
                    f"corpus's name before the ids of one: prefix_ids: true in corpora.yaml"
                )


def dropped_rows(rows: Corpora, duplicates: Duplicates) -> Iterator[Dropped]:
    """The rows of dropped.tsv: audio that came before."""
    for pairs in duplicates.chunks():
        for utt_id, first in zip(*map(rows.utt_ids, pairs.T), strict=True):
            yield Dropped(utt_id=utt_id, reason="duplicate", detail=f"same audio as {first}")


def valid_limit(rows: Corpora, duplicates: Duplicates, ratio: float, seed: int) -> float:
    """Recordings that draw less than this are held out for validation.

    A share ``ratio`` of them; at least one, if there are two recordings and a ratio.
    """
    if ratio <= 0:
        return 0.0
    lowest, known = np.inf, set()  # two recordings are enough to know
    for batch in rows.batches(duplicates):
        recordings, draws = recording_draws(batch, seed)
        lowest = min(lowest, draws.min(initial=np.inf))
        known.update(recordings.dictionary[:2].to_pylist() if len(known) < 2 else ())
        if len(known) > 1 and lowest + np.finfo(float).eps <= ratio:
            break
    return max(ratio, lowest + np.finfo(float).eps) if len(known) > 1 else 0.0


def recording_draws(batch: pa.RecordBatch, seed: int) -> tuple[pa.DictionaryArray, np.ndarray]:
    """The rows' recordings, dictionary-encoded, and (names,) draws in [0, 1), one a name."""
    corpora = batch["corpus"].cast(pa.large_string())
    slash = pa.scalar("/", pa.large_string())
    recordings = pc.binary_join_element_wise(corpora, batch["recording"], slash)
    recordings = recordings.dictionary_encode()
    return recordings, np.array([uniform_hash(seed, r) for r in recordings.dictionary.to_pylist()])


def uniform_hash(seed: int, name: str) -> float:
    """A number in [0, 1) that depends on the seed and the name alone."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64


def write_sets(
    dump: Path, rows: Corpora, duplicates: Duplicates, limit: float, seed: int
) -> dict[str, Tally]:
    """Write both indexes; returns what is in them."""
    names = rows.names()
    tallies = {name: Tally(names["corpus"], names["language"]) for name in SETS}
    with contextlib.ExitStack() as stack:
        writers = {
            name: stack.enter_context(IndexWriter(dump / name / "index.arrow", names))
            for name in SETS
        }
        for batch in rows.batches(duplicates):
            recordings, draws = recording_draws(batch, seed)
            is_valid = (draws < limit)[recordings.indices.to_numpy()]
            for name, mask in zip(SETS, (~is_valid, is_valid), strict=True):
                part = batch.filter(pa.array(mask))
                writers[name].write(part)
                count(tallies[name], part)
    return tallies


def count(tally: Tally, batch: pa.RecordBatch) -> None:
    """Add the rows of a batch to a tally, whatever codes the batch has for names."""
    codes = []
    for column, names in (("corpus", tally.corpora), ("language", tally.languages)):
        own = pc.index_in(batch[column].dictionary, pa.array(names, pa.string())).to_numpy()
        codes.append(own[batch[column].indices.to_numpy()])
    tally.add(*codes, batch["num_samples"].to_numpy())
