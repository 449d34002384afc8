"""The nearest centroid of frames: our way and scikit-learn's, in one process of one thread.

Loaded by ``answer.py``. The first request must be ``open``.
"""

import os

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans

from espnet2.bench.tokens_ours import timed
from espnet2.tokens.nearest import NearestCentroid

SEED = 0


class Side:
    """Assigns the same frames both ways."""

    def open(self, frames: int, dim: int, clusters: int) -> dict:
        """Draw frames (frames, dim) and centroids (clusters, dim), and compare all ids once."""
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        torch.set_num_threads(1)
        rng = np.random.default_rng(SEED)
        self.frames = rng.standard_normal((frames, dim), dtype=np.float32)
        centroids = rng.standard_normal((clusters, dim), dtype=np.float32)
        self.nearest = NearestCentroid(centroids)
        # Fitted on the centroids themselves: it then has all that predict needs.
        self.peer = MiniBatchKMeans(n_clusters=clusters, init=centroids, n_init=1, max_iter=1)
        self.peer.fit(centroids)
        self.peer.cluster_centers_ = centroids
        ours = self.nearest(torch.from_numpy(self.frames)).astype(np.int64)
        return compare(self.frames, centroids, ours, self.peer.predict(self.frames))

    def assign(self, by: str) -> dict:
        """Time all frames' nearest centroids ``by`` "ours" or "scikit-learn"."""
        if by == "ours":
            return timed(lambda: self.nearest(torch.from_numpy(self.frames)))
        return timed(lambda: self.peer.predict(self.frames))


def compare(
    frames: np.ndarray, centroids: np.ndarray, ours: np.ndarray, theirs: np.ndarray
) -> dict[str, float]:
    """How many ids differ, and how much nearer ours are where they do (never below zero)."""
    other = np.flatnonzero(ours != theirs)
    points = frames[other].astype(np.float64)
    own, peer = (np.square(points - centroids[ids[other]]).sum(1) for ids in (ours, theirs))
    return {"differ": len(other), "least_gain": float((peer - own).min(initial=0.0))}
