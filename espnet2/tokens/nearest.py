"""The nearest centroid of every frame, exactly.

Shapes: N frames, D width, K clusters.
"""

import numpy as np
import torch
from torch import Tensor

CPU_ELEMENTS = 2**20  # of the (frames, clusters) matrix at a time: 4 MiB, so it stays in cache
GPU_ELEMENTS = 2**25


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
        limit = least + 2 * self.rounding(frames)  # up to here a centroid may be the nearest
        cost.scatter_(1, best[:, None], torch.inf)  # so that the next least is the second
        contested = torch.nonzero(cost.amin(dim=1) <= limit)[:, 0]
        ids = best.cpu().numpy()
        if len(contested):
            is_near = cost[contested] <= limit[contested, None]
            is_near.scatter_(1, best[contested, None], True)
            ids[contested.cpu().numpy()] = measured(
                frames[contested].cpu().numpy(), self.centroids, is_near.cpu().numpy()
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
