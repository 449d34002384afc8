"""Labels as text, ESPnet's form: ``utt 12 873 …``, sorted by utterance id; both ways exact.

Export streams. Import keeps the order of the ids in memory, 8 bytes an utterance, and the labels
in a file beside those that it writes until all are there.
"""

import bisect
import os
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from espnet2.data.duplicates import scratch
from espnet2.data.export_kaldi import rows_in_c_order
from espnet2.data.index import Index
from espnet2.data.labels import DTYPE, LabelStore, labels_file, write_labels
from espnet2.tokens.quality.counts import Counts, save_counts
from espnet2.utils.errors import DataError
from espnet2.utils.files import atomic_path
from espnet2.utils.logs import log


def export_text(index: Path, folder: Path, text: Path) -> int:
    """Write the labels of a set as text; returns the utterances."""
    opened = Index.open(index)
    store = LabelStore.open(opened, folder)
    with atomic_path(text) as part, open(part, "w", encoding="utf-8", newline="\n") as file:
        for rows in rows_in_c_order(opened):
            for utt_id, row in zip(opened.utt_ids[rows], rows.tolist(), strict=True):
                ids = map(str, store.labels(row).tolist())
                file.write(" ".join([utt_id, *ids]) + "\n")
    log(f"{text}: {len(opened)} utterances")
    return len(opened)


def sorted_rows(index: Index) -> np.ndarray:
    """(rows,) uint64: the rows in C order of their ids."""
    return pc.sort_indices(index.table["utt_id"]).to_numpy()


def import_text(index: Path, text: Path, folder: Path, num_clusters: int) -> int:
    """Write the label files of a set from text; ``finish_labels`` then makes them a label set.

    Raises:
        DataError: with file and line, an unknown, repeated or missing utterance, a count that is
            not the utterance's frames, or an id that is no cluster.
    """
    opened = Index.open(index)
    find = Finder(opened)
    with scratch(folder / ".import") as temporary, open(temporary / "ids", "w+b") as ids:
        with open(text, "rb") as lines:
            for number, line in enumerate(lines, 1):
                utt_id, *words = parse_words(line, f"{text}:{number}")
                row, where = find.row(utt_id), f"{text}:{number}: {utt_id}"
                if row is None:
                    raise DataError(f"{where} is not in the index, or came before")
                data = parse_ids(words, opened.frames_of(row), num_clusters, where)
                os.pwrite(ids.fileno(), data.tobytes(), find.first_frame(row) * DTYPE.itemsize)
        missing = np.flatnonzero(~find.is_found)
        if len(missing):
            first = opened.utt_ids[missing[0]]
            raise DataError(
                f"{text}: utterances of the index that are missing: {len(missing)}, first {first}"
            )
        ids.seek(0)
        for shard in opened.each_shard():
            data = np.frombuffer(ids.read(shard.frames * DTYPE.itemsize), DTYPE)
            rows = slice(shard.rows.start, shard.rows.stop)
            counts = Counts.empty(num_clusters)
            counts.add(data, opened.frames_of(rows), opened.languages[rows])
            write_labels(labels_file(folder, shard.name), data)
            save_counts(labels_file(folder, shard.name), counts)
    return len(opened)


class Finder:
    """Rows of an index by utterance id, each once; fastest when asked in C order."""

    def __init__(self, index: Index):
        self.is_found = np.zeros(len(index), bool)
        self._index, self._order, self._next = index, sorted_rows(index), 0
        shards = list(index.each_shard())
        self._firsts = np.array([shard.rows.start for shard in shards])
        self._frames = np.cumsum([0, *(shard.frames for shard in shards)])

    def row(self, utt_id: str) -> int | None:
        """The row of an utterance; None if there is none, or if it was asked for before."""
        if self._id_at(self._next) != utt_id:
            places = range(len(self._order))
            # Python compares text by code point, which is C order of UTF-8.
            self._next = bisect.bisect_left(places, utt_id, key=self._id_at)
            if self._id_at(self._next) != utt_id:
                return None
        row = int(self._order[self._next])
        self._next += 1
        is_new, self.is_found[row] = not self.is_found[row], True
        return row if is_new else None

    def _id_at(self, place: int) -> str | None:
        return self._index.utt_ids[self._order[place]] if place < len(self._order) else None

    def first_frame(self, row: int) -> int:
        """The row's first frame, of all frames of the set shard by shard."""
        shard = int(np.searchsorted(self._firsts, row, side="right")) - 1
        return int(self._frames[shard] + self._index.label_starts[row])


def parse_words(line: bytes, where: str) -> list[str]:
    """Utterance and labels of one line, with spaces or tabs between, as Kaldi reads them."""
    try:
        words = [word.decode("utf-8") for word in line.split()]
    except UnicodeDecodeError:
        raise DataError(f"{where}: not UTF-8 text (if it is compressed, unpack it)") from None
    if not words:
        raise DataError(f"{where}: an empty line; a line is 'utterance label label …'")
    return words


def parse_ids(words: list[str], frames: int, num_clusters: int, where: str) -> np.ndarray:
    """The ids (frames,) of one line."""
    if len(words) != frames:
        raise DataError(f"{where}: {len(words)} labels for {frames} frames")
    try:
        ids = np.array(words, dtype=np.int64)
    except ValueError:
        raise DataError(f"{where}: labels must be whole numbers") from None
    if frames and not 0 <= ids.min() <= ids.max() < num_clusters:
        raise DataError(f"{where}: ids must lie in 0 … {num_clusters - 1}")
    return ids.astype(DTYPE)
