"""Labels as text, ESPnet's form: ``utt 12 873 …``, sorted by utterance id; both ways exact."""

from pathlib import Path

import numpy as np

from espnet2.data.index import Index
from espnet2.data.labels import LabelStore, frames_by_shard, labels_file, shard_starts, write_labels
from espnet2.tokens.quality import Counts, save_counts
from espnet2.utils.errors import DataError
from espnet2.utils.files import atomic_path
from espnet2.utils.logs import log


def export_text(index: Path, folder: Path, text: Path) -> int:
    """Write the labels of a set as text; returns the utterances."""
    opened = Index.open(index)
    store = LabelStore.open(opened, folder)
    names = list(opened.utt_ids)
    rows = sorted(range(len(names)), key=lambda row: names[row].encode())
    with atomic_path(text) as part, open(part, "w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(" ".join([names[row], *map(str, store.labels(row).tolist())]) + "\n")
    log(f"{text}: {len(rows)} utterances")
    return len(rows)


def import_text(index: Path, text: Path, folder: Path, num_clusters: int) -> int:
    """Write the label files of a set from text; ``finish_labels`` then makes them a label set.

    Raises:
        DataError: with file and line, an unknown, repeated or missing utterance, a count that is
            not the utterance's frames, or an id that is no cluster.
    """
    opened = Index.open(index)
    files = {
        shard: np.zeros(frames, dtype=np.uint16)
        for shard, frames in frames_by_shard(opened).items()
    }
    row_of = {utt_id: row for row, utt_id in enumerate(opened.utt_ids)}
    starts, frames = shard_starts(opened), opened.frames
    with open(text, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            utt_id, _, rest = line.rstrip("\n").partition(" ")
            row = row_of.pop(utt_id, None)
            if row is None:
                raise DataError(f"{text}:{number}: {utt_id} is not in the index, or came before")
            ids = parse_ids(rest, int(frames[row]), num_clusters, f"{text}:{number}: {utt_id}")
            files[opened.shards[row]][starts[row] : starts[row] + len(ids)] = ids
    if row_of:
        raise DataError(f"{text}: {len(row_of)} utterances are missing, first {next(iter(row_of))}")
    for shard, ids in files.items():
        rows = np.flatnonzero(opened.shards.where(shard))
        counts = Counts.empty(num_clusters)
        counts.add(ids, frames[rows], [opened.languages[row] for row in rows])
        write_labels(labels_file(folder, shard), ids)
        save_counts(labels_file(folder, shard), counts)
    return len(opened)


def parse_ids(text: str, frames: int, num_clusters: int, where: str) -> np.ndarray:
    """The ids (frames,) of one line."""
    words = text.split()
    if len(words) != frames:
        raise DataError(f"{where}: {len(words)} labels for {frames} frames")
    try:
        ids = np.array(words, dtype=np.int64)
    except ValueError:
        raise DataError(f"{where}: labels must be whole numbers") from None
    if frames and not 0 <= ids.min() <= ids.max() < num_clusters:
        raise DataError(f"{where}: ids must lie in 0 … {num_clusters - 1}")
    return ids.astype(np.uint16)
