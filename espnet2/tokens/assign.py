"""Stage label: the nearest centroid of every frame of a shard, as flat uint16."""

from pathlib import Path

import numpy as np

from espnet2.data.index import Index
from espnet2.data.labels import check_size, write_labels
from espnet2.tokens.codebook import check_teacher, load_codebook
from espnet2.tokens.config import TokensConfig
from espnet2.tokens.nearest import NearestCentroid
from espnet2.tokens.quality.counts import Counts, save_counts
from espnet2.tokens.stream import stream_frames
from espnet2.tokens.teachers.registry import shared_teacher
from espnet2.utils.errors import DataError
from espnet2.utils.logs import log


def label_shard(
    index: Path, shard: str, rows: tuple[int, int], codebook: Path, out: Path,
    config: TokensConfig, device: str,
) -> dict[str, int]:  # fmt: skip
    """Label one shard: ``out`` (a .u16 file) and its counts beside it.

    rows: its first row in the index, and the one after its last.
    Raises DataError when the index has changed since they were looked up.
    """
    book = load_codebook(codebook)
    teacher = shared_teacher(config.teacher, config.teacher_conf, device)
    check_teacher(book, teacher.identity(), teacher.dim)
    opened = Index.open(index)
    if set(opened.shards[slice(*rows)]) != {shard}:
        raise DataError(f"{index}: changed since the stage began; start the label stage again")
    rows = np.arange(*rows)
    ids = np.empty(int(opened.frames_of(rows).sum(dtype=np.int64)), dtype=np.uint16)
    nearest = NearestCentroid(book.centroids, teacher.device)
    counts, done = Counts.empty(book.num_clusters, teacher.computed), 0
    for batch in stream_frames(teacher, opened, rows, config.batch_seconds):
        labels, lengths = nearest(batch.frames.values), batch.frames.lengths
        ends = np.cumsum(lengths)
        for start, part in zip(opened.label_starts[batch.rows], np.split(labels, ends[:-1]),
                               strict=True):  # fmt: skip
            ids[start : start + len(part)] = part
        done += len(labels)
        counts.add(labels, lengths, opened.languages[batch.rows])
    assert done == len(ids), "every frame of the shard once"
    write_labels(out, ids)
    check_size(out, done)
    save_counts(out, counts)
    log(f"{shard}: {len(rows)} utts, {done:,} frames labelled")
    return {"utterances": len(rows), "frames": done}
