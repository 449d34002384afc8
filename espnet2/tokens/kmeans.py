"""Stage kmeans: a codebook from a seeded sample of an index.

Lloyd's k-means of faiss, from random frames, because it fits better in less time. Its 30 passes
beside scikit-learn's MiniBatchKMeans (HuBERT's settings: k-means++, 20 starts, batches of 10,000),
one core, real speech, inertia a frame:

    200,000 frames of 39 (MFCC), K = 128      1206.9 in 1.5 s    1223.8 in   9 s
    100,000 frames of 256 (encoder), K = 500   8.677 in 6.0 s     8.791 in 233 s

No cluster was dead in either. k-means++ and AFK-MC² as the start gave no lower inertia. ``bench
tokens --only sides`` sets both beside each other again.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from espnet2.data.index import Index
from espnet2.tokens.codebook import STORY, Codebook, save_codebook
from espnet2.tokens.config import TokensConfig
from espnet2.tokens.sample import choose, gather
from espnet2.tokens.teachers.registry import build_teacher
from espnet2.utils.config import to_dict
from espnet2.utils.errors import DataError
from espnet2.utils.files import write_json
from espnet2.utils.logs import log
from espnet2.utils.provenance import provenance
from espnet2.utils.seeding import seed_for

A_THREADS_WORTH = 10**10  # products of one pass; with less, threads wait for each other
MAX_THREADS = 16  # also on fewer cores, where they take turns: the bits must be the same


@dataclass(frozen=True)
class Fit:
    """Centroids, and how well they fit their frames."""

    centroids: np.ndarray  # (K, D) float32
    counts: np.ndarray  # (K,) int64  frames of each cluster
    inertia_curve: list[float]  # mean squared distance of a frame: at the start, after each pass

    @property
    def dead(self) -> int:
        """Clusters without a frame."""
        return int((self.counts == 0).sum())


def fit_codebook(index: Path, out: Path, config: TokensConfig, seed: int, device: str) -> dict:
    """Write ``out/codebook.safetensors`` and, last, ``out/codebook.json`` with its provenance.

    Raises:
        DataError: frames that cannot make so many clusters, or too many clusters without a frame.
    """
    teacher = build_teacher(config.teacher, config.teacher_conf, device)
    opened = Index.open(index)
    sample = choose(opened, config.quotas, config.max_frames, seed)
    log(
        f"in: {len(opened):,} utts / {opened.hours:.2f} h -> sample: {sample.utterances:,} utts / "
        f"{sum(sample.hours.values()):.2f} h, {len(sample.frames):,} frames of them; "
        f"{len(sample.rows):,} utts / {sample.hours_read:.2f} h hold these and are read"
    )
    started = time.monotonic()
    frames = gather(teacher, opened, sample, config.batch_seconds)
    gathered = time.monotonic()
    fit = fit_centroids(frames, config, seed, device)
    log(
        f"{config.num_clusters} clusters of {teacher.dim} dimensions, {fit.dead} dead, inertia "
        f"{fit.inertia_curve[0]:.5g} -> {fit.inertia_curve[-1]:.5g} a frame; read "
        f"{gathered - started:.1f} s, fit {time.monotonic() - gathered:.1f} s"
    )
    if fit.dead > config.max_dead_ratio * config.num_clusters:
        raise DataError(
            f"{fit.dead} of {config.num_clusters} clusters have no frame, more than max_dead_ratio "
            f"{config.max_dead_ratio}; use fewer clusters or more audio"
        )
    digest = save_codebook(out, Codebook(centroids=fit.centroids, teacher=teacher.identity()))
    summary = {
        "frames": len(frames), "dead_clusters": fit.dead,
        "inertia_per_frame": fit.inertia_curve[-1],
    }  # fmt: skip
    story = {
        "sha256": digest, "teacher": teacher.identity(), "teacher_computed": teacher.computed,
        "config": to_dict(config), "seed": seed,
        "fit": {**summary, "inertia_curve": fit.inertia_curve},
        "sample": {
            "hours": sample.hours, "utterances": sample.utterances,
            "hours_read": round(sample.hours_read, 6), "utterances_read": len(sample.rows),
        },
        "provenance": {**provenance(), "faiss": faiss.__version__},
    }  # fmt: skip
    write_json(out / STORY, story)
    return summary


def fit_centroids(frames: np.ndarray, config: TokensConfig, seed: int, device: str = "cpu") -> Fit:
    """k-means of (N, D) float32 frames.

    On one kind of CPU the seed decides every bit, on one core or many: the work alone says how many
    threads there are, for on some CPUs their number decides the last bits of a distance.

    Raises:
        DataError: fewer frames than clusters, frames that are not finite, or all the same.
    """
    check_frames(frames, config.num_clusters)
    kmeans = faiss.Kmeans(
        frames.shape[1],
        config.num_clusters,
        niter=config.kmeans_iterations,
        seed=seed_for(seed, "kmeans") % 2**31,
        max_points_per_centroid=len(frames),  # all of them are used
        min_points_per_centroid=1,  # fewer would only warn
        gpu=can_use_gpu(device),
    )
    useful = frames.size * config.num_clusters // A_THREADS_WORTH
    with openmp_threads(max(min(useful, MAX_THREADS), 1)):
        kmeans.train(frames)
        distances, ids = kmeans.assign(frames)  # (N,), (N,)
    curve = [*kmeans.obj.tolist(), float(distances.sum(dtype=np.float64))]
    return Fit(
        centroids=np.ascontiguousarray(kmeans.centroids, dtype=np.float32),
        counts=np.bincount(ids, minlength=config.num_clusters),
        inertia_curve=[value / len(frames) for value in curve],
    )


def check_frames(frames: np.ndarray, num_clusters: int) -> None:
    """Refuse frames (N, D) that no codebook can be fitted on."""
    if len(frames) < num_clusters:
        raise DataError(
            f"{len(frames):,} frames cannot make {num_clusters:,} clusters; "
            "use fewer clusters, higher quotas or more max_frames"
        )
    low, high = frames.min(axis=0), frames.max(axis=0)  # NaN where a frame is
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise DataError("some of the frames to fit on are not finite; look at the teacher")
    if (low == high).all():
        raise DataError(f"all {len(frames):,} frames to fit on are the same; is the audio silent?")


def can_use_gpu(device: str) -> bool:
    """Whether faiss computes on the GPU that ``device`` names; says so where it cannot."""
    if not device.startswith("cuda"):
        return False
    if not faiss.get_num_gpus():
        log(
            "k-means: the installed faiss uses no GPU, so the CPU fits (with it: pip uninstall "
            "faiss-cpu; pip install 'xeus[gpu]')"
        )
        return False
    return True


@contextlib.contextmanager
def openmp_threads(count: int) -> Iterator[None]:
    """faiss with so many threads for a while."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
