"""Stage label: the nearest centroid of every frame of a shard, as flat uint16.

Shapes: N frames, D width, K clusters.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from espnet2.data.index import Index
from espnet2.data.labels import check_size, write_labels
from espnet2.tokens.codebook import check_teacher, load_codebook
from espnet2.tokens.config import TokensConfig
from espnet2.tokens.quality import Counts, save_counts
from espnet2.tokens.stream import stream_frames
from espnet2.tokens.teachers.registry import shared_teacher
from espnet2.utils.errors import DataError
from espnet2.utils.logs import log

CPU_ELEMENTS = 2**20  # of the (frames, clusters) matrix at a time: 4 MiB, so it stays in cache
GPU_ELEMENTS = 2**25


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


class NearestCentroid:
    """Gives each frame the number of its nearest centroid; of equals, the first.

    One matrix product on the device finds it; where rounding could decide, the few candidates are
    measured again in double precision. So the answer does not depend on how many frames come
    together, or on the device.
    """

    def __init__(self, centroids: np.ndarray, device: torch.device | str = "cpu") -> None:
        """``centroids``: (K, D) float32."""
        self.centroids = centroids
        # rounding() holds for true float32 products, not for TF32.
        torch.set_float32_matmul_precision("highest")
        self._columns = torch.tensor(centroids.T, device=device)  # (D, K)
        half_norms = (np.square(centroids, dtype=np.float64).sum(1) / 2).astype(np.float32)
        self._half_norms = torch.tensor(half_norms, device=device)  # (K,)
        self._largest = float(half_norms.max())
        is_cpu = torch.device(device).type == "cpu"
        self._block = max((CPU_ELEMENTS if is_cpu else GPU_ELEMENTS) // len(centroids), 1)

    def __call__(self, frames: Tensor) -> np.ndarray:
        """(N,) uint16 of the frames (N, D) float32 on the device."""
        parts = [self.of_block(part) for part in frames.split(self._block)]
        return np.concatenate(parts or [np.zeros(0)]).astype(np.uint16)

    def of_block(self, frames: Tensor) -> np.ndarray:
        """(N,) int64 of as many frames as fit one matrix product."""
        # (N, K): half the squared distance, less half the frame's square
        cost = torch.addmm(self._half_norms, frames, self._columns, alpha=-1)
        least, best = cost.min(dim=1)  # (N,), (N,)
        is_near = cost <= (least + 2 * self.rounding(frames))[:, None]  # may be the nearest
        contested = torch.nonzero(is_near.sum(dim=1) > 1)[:, 0]
        ids = best.cpu().numpy()
        if len(contested):
            ids[contested.cpu().numpy()] = measured(
                frames[contested].cpu().numpy(), self.centroids, is_near[contested].cpu().numpy()
            )
        return ids

    def rounding(self, frames: Tensor) -> Tensor:
        """(N,) bound of the float32 error of a row of costs."""
        terms = frames.shape[1] + 2
        longest = (2 * self._largest) ** 0.5
        eps = torch.finfo(torch.float32).eps
        return terms * eps * (frames.norm(dim=1) * longest + self._largest)


def measured(frames: np.ndarray, centroids: np.ndarray, is_near: np.ndarray) -> np.ndarray:
    """(N,): the nearest of each row's candidates (N, K), by exact differences in float64."""
    rows, ids = is_near.nonzero()
    difference = frames[rows].astype(np.float64) - centroids[ids]
    distance = np.full(is_near.shape, np.inf)
    distance[rows, ids] = np.square(difference).sum(axis=1)
    return distance.argmin(axis=1)
