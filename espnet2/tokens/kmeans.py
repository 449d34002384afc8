"""Stage kmeans: a codebook from a seeded sample of an index."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits

from espnet2.data.frames import HOP_SAMPLES, SAMPLE_RATE_HZ
from espnet2.data.index import Index
from espnet2.tokens.assign import NearestCentroid
from espnet2.tokens.codebook import Codebook, save_codebook
from espnet2.tokens.config import TokensConfig
from espnet2.tokens.sample import Sample, choose, gather
from espnet2.tokens.teachers.registry import build_teacher
from espnet2.utils.config import to_dict
from espnet2.utils.errors import DataError
from espnet2.utils.files import write_json
from espnet2.utils.logs import log
from espnet2.utils.provenance import provenance
from espnet2.utils.seeding import seed_for

FRAMES_PER_HOUR = 3600 * SAMPLE_RATE_HZ / HOP_SAMPLES


def fit_codebook(index: Path, out: Path, config: TokensConfig, seed: int, device: str) -> dict:
    """Write ``out/codebook.safetensors`` and, last, ``out/codebook.json`` with its provenance.

    Raises:
        DataError: fewer frames than clusters, or too many clusters without a frame.
    """
    teacher = build_teacher(config.teacher, config.teacher_conf, device)
    opened = Index.open(index)
    sample = choose(opened, config.quotas, config.max_frames, seed)
    started = time.monotonic()
    frames = gather(teacher, opened, sample, config.batch_seconds)
    gathered = time.monotonic()
    centroids, fit = fit_centroids(frames, config, seed)
    ids = NearestCentroid(centroids)(torch.from_numpy(frames))
    counts = np.bincount(ids, minlength=config.num_clusters)
    fitted = time.monotonic()
    hours = float(opened.num_samples[sample.rows].sum(dtype=np.int64)) / SAMPLE_RATE_HZ / 3600
    dead = int((counts == 0).sum())
    log(
        f"in: {len(opened)} utts / {opened.hours:.2f} h -> sample: {len(sample.rows)} utts / "
        f"{hours:.2f} h, {len(frames):,} frames -> {config.num_clusters} clusters of {teacher.dim} "
        f"dimensions, {dead} dead; read {gathered - started:.1f} s, fit {fitted - gathered:.1f} s"
    )
    if dead > config.max_dead_ratio * config.num_clusters:
        raise DataError(
            f"{dead} of {config.num_clusters} clusters have no frame, more than max_dead_ratio "
            f"{config.max_dead_ratio}; use fewer clusters or more audio"
        )
    digest = save_codebook(out, Codebook(centroids=centroids, teacher=teacher.identity()))
    summary = {**fit, "dead_clusters": dead, "frames": len(frames), "hours": round(hours, 3)}
    story = {
        "sha256": digest, "teacher": teacher.identity(), "config": to_dict(config), "seed": seed,
        "fit": summary, "sample_hours": sample_hours(opened, sample), "provenance": provenance(),
    }  # fmt: skip
    write_json(out / "codebook.json", story)
    return summary


def fit_centroids(
    frames: np.ndarray, config: TokensConfig, seed: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """Mini-batch k-means of (N, D) frames: centroids (K, D) float32, and how it went.

    One thread, so the same seed gives the same centroids.
    """
    if len(frames) < config.num_clusters:
        raise DataError(
            f"{len(frames):,} frames cannot make {config.num_clusters:,} clusters; "
            "use fewer clusters, higher quotas or more max_frames"
        )
    model = MiniBatchKMeans(
        n_clusters=config.num_clusters,
        init="k-means++",
        n_init=config.kmeans_inits,
        batch_size=config.kmeans_batch,
        max_iter=config.kmeans_epochs,
        max_no_improvement=config.kmeans_patience,
        tol=0.0,
        reassignment_ratio=0.0,  # as HuBERT: a rare sound keeps its cluster
        random_state=seed_for(seed, "kmeans") % 2**32,
    )
    with threadpool_limits(limits=1):
        model.fit(frames)
    fit = {"inertia_per_frame": float(model.inertia_) / len(frames), "steps": int(model.n_steps_)}
    return np.ascontiguousarray(model.cluster_centers_, dtype=np.float32), fit


def sample_hours(index: Index, sample: Sample) -> dict[str, float]:
    """Hours of each corpus in the sample."""
    frames = np.bincount(
        index.corpora.codes[sample.rows],
        weights=index.frames_of(sample.rows),
        minlength=len(index.corpora.names),
    )
    hours = zip(index.corpora.names, frames / FRAMES_PER_HOUR, strict=True)
    return {name: round(float(value), 3) for name, value in hours if value}
