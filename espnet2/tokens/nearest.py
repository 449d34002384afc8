"""The nearest centroid of every frame, exactly.

Shapes: N frames, D width, K clusters, C contested frames, P pairs of a frame and a candidate.
"""

import numpy as np
import torch
from torch import Tensor

CPU_ELEMENTS = 2**20  # of the (frames, clusters) matrix at a time: 4 MiB, so it stays in cache
GPU_ELEMENTS = 2**25
MEASURED_ELEMENTS = 2**20  # float64 numbers of candidates at a time: 8 MiB


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
        # What all frames of a network share tells no centroid from another. Without it the products
        # are smaller, and so is their rounding: fewer frames are contested.
        centre = centroids.mean(axis=0, dtype=np.float64).astype(np.float32)
        moved = centroids.astype(np.float64) - centre  # (K, D)
        half_norms = (np.square(moved).sum(axis=1) / 2).astype(np.float32)
        self._centre = torch.tensor(centre, device=device)  # (D,)
        self._columns = torch.tensor(moved.T, dtype=torch.float32, device=device)  # (D, K)
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
        moved = frames - self._centre
        # (N, K): half the squared distance, less half the moved frame's square
        cost = torch.addmm(self._half_norms, moved, self._columns, alpha=-1)
        least, best = cost.min(dim=1)  # (N,), (N,)
        limit = least + 2 * self.rounding(moved)  # up to here a centroid may be the nearest
        cost.scatter_(1, best[:, None], torch.inf)  # so that the next least is the second
        contested = torch.nonzero(cost.amin(dim=1) <= limit)[:, 0]  # (C,)
        ids = best.cpu().numpy()
        if len(contested):
            is_near = cost[contested] <= limit[contested, None]  # (C, K)
            is_near.scatter_(1, best[contested, None], True)
            pairs = torch.nonzero(is_near).T.cpu().numpy()  # (2, P)
            candidates = frames[contested].cpu().numpy()
            ids[contested.cpu().numpy()] = measured(candidates, self.centroids, *pairs)
        return ids

    def rounding(self, moved: Tensor) -> Tensor:
        """(N,) bound of the float32 error of a row of costs."""
        terms = moved.shape[1] + 4
        longest = (2 * self._largest) ** 0.5
        eps = torch.finfo(torch.float32).eps
        return terms * eps * (moved.norm(dim=1) * longest + self._largest)


def measured(
    frames: np.ndarray, centroids: np.ndarray, rows: np.ndarray, ids: np.ndarray
) -> np.ndarray:
    """(C,): the nearest of each frame's candidates, by exact differences in float64.

    ``rows``, ``ids``: (P,) numbers of a frame (C, D) and of a candidate (K, D); none lacks one.
    """
    distance, size = np.empty(len(rows)), max(MEASURED_ELEMENTS // centroids.shape[1], 1)  # (P,)
    for part in (slice(start, start + size) for start in range(0, len(rows), size)):
        difference = frames[rows[part]].astype(np.float64) - centroids[ids[part]]
        distance[part] = np.square(difference).sum(axis=1)
    order = np.lexsort((ids, distance, rows))
    firsts = np.unique(rows[order], return_index=True)[1]
    return ids[order[firsts]]
