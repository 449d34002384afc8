"""Stage label: the nearest centroid of every frame of a shard, as flat uint16.

Shapes: N frames, D width, K clusters.
"""

from pathlib import Path

import numpy as np

from espnet2.data.index import Index
from espnet2.data.labels import check_size, write_labels
from espnet2.tokens.codebook import check_teacher, load_codebook
from espnet2.tokens.config import TokensConfig
from espnet2.tokens.quality import Counts, save_counts
from espnet2.tokens.stream import stream_frames
from espnet2.tokens.teachers.registry import build_teacher
from espnet2.utils.errors import DataError
from espnet2.utils.logs import log

BLOCK_ELEMENTS = 2**20  # of the (frames, clusters) matrix at a time: 4 MiB, so it stays in cache


def label_shard(
    index: Path, shard: str, rows: tuple[int, int], codebook: Path, out: Path,
    config: TokensConfig, device: str,
) -> dict[str, int]:  # fmt: skip
    """Label one shard: ``out`` (a .u16 file) and its counts beside it.

    rows: its first row in the index, and the one after its last.
    Raises DataError when the index has changed since they were looked up.
    """
    book = load_codebook(codebook)
    teacher = build_teacher(config.teacher, config.teacher_conf, device)
    check_teacher(book, teacher.identity(), teacher.dim)
    opened = Index.open(index)
    if set(opened.shards[slice(*rows)]) != {shard}:
        raise DataError(f"{index}: changed since the stage began; start the label stage again")
    rows = np.arange(*rows)
    ids = np.empty(int(opened.frames_of(rows).sum(dtype=np.int64)), dtype=np.uint16)
    counts, done = Counts.empty(book.num_clusters), 0
    for batch in stream_frames(teacher, opened, rows, config.batch_seconds):
        labels = nearest(batch.frames.values, book.centroids)
        ids[done : done + len(labels)] = labels
        done += len(labels)
        counts.add(labels, batch.frames.lengths, opened.languages[batch.rows])
    write_labels(out, ids)
    check_size(out, done)
    save_counts(out, counts)
    log(f"{shard}: {len(rows)} utts, {done:,} frames labelled")
    return {"utterances": len(rows), "frames": done}


def nearest(frames: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """(N,) uint16: the centroid (K, D) nearest to each frame (N, D); of equals, the first.

    One matrix product finds it; where rounding could decide, the few candidates are measured again
    in double precision, one by one. So the answer does not depend on how many frames come together.
    """
    block = max(BLOCK_ELEMENTS // len(centroids), 1)
    half_norms = (np.square(centroids, dtype=np.float64).sum(1) / 2).astype(np.float32)  # (K,)
    ids = np.empty(len(frames), dtype=np.uint16)
    for start in range(0, len(frames), block):
        part = frames[start : start + block]
        ids[start : start + block] = nearest_of_block(part, centroids, half_norms)
    return ids


def nearest_of_block(
    frames: np.ndarray, centroids: np.ndarray, half_norms: np.ndarray
) -> np.ndarray:
    """``nearest`` for as many frames as fit one matrix product."""
    cost = half_norms - frames @ centroids.T  # (N, K), half the squared distance less |frame|²/2
    best = cost.argmin(axis=1)  # (N,)
    doubt = 2 * rounding(frames, centroids, half_norms)  # (N,)
    limit = cost[np.arange(len(best)), best] + doubt
    is_near = cost <= limit[:, None]  # (N, K), True where a centroid may be the nearest
    contested = np.flatnonzero(is_near.sum(axis=1) > 1)
    if contested.size:
        best[contested] = measured(frames[contested], centroids, is_near[contested])
    return best


def rounding(frames: np.ndarray, centroids: np.ndarray, half_norms: np.ndarray) -> np.ndarray:
    """(N,) bound of the float32 error of ``half_norms - frames @ centroids.T`` in a row."""
    terms = frames.shape[1] + 2
    longest = np.sqrt(2 * half_norms.max())
    norms = np.sqrt(np.einsum("nd,nd->n", frames, frames))
    return terms * np.finfo(np.float32).eps * (norms * longest + half_norms.max())


def measured(frames: np.ndarray, centroids: np.ndarray, is_near: np.ndarray) -> np.ndarray:
    """(N,): the nearest of each row's candidates (N, K), by exact differences in float64."""
    rows, ids = is_near.nonzero()
    difference = frames[rows].astype(np.float64) - centroids[ids]
    distance = np.full(is_near.shape, np.inf)
    distance[rows, ids] = np.square(difference).sum(axis=1)
    return distance.argmin(axis=1)
