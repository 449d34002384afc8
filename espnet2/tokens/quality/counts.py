"""How good a label set looks without a transcript: counted while labelling, summed up at the end.

Shapes: N frames, B utterances, K clusters, L languages, R run lengths.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from espnet2.data.frames import HOP_SAMPLES, SAMPLE_RATE_HZ
from espnet2.data.index import ShardRows
from espnet2.data.labels import DTYPE, LabelStore, check_size, labels_file
from espnet2.utils.errors import DataError
from espnet2.utils.files import atomic_path

MAX_RUN = 100  # frames; longer runs count as this long (2 s)
FRAMES_PER_SECOND = SAMPLE_RATE_HZ / HOP_SAMPLES
FRAMES_TO_JUDGE = 100  # a cluster; a smaller set is described, not judged


@dataclass
class Counts:
    """What is counted of one shard, and added up over shards."""

    num_clusters: int
    labels: dict[str, np.ndarray]  # language: (K,) int64 frames of each cluster
    runs: np.ndarray  # (MAX_RUN + 1,) int64 stretches of one label, by their frames
    computed: frozenset[str]  # on what and how the teacher ran: {"cpu float32"}

    @classmethod
    def empty(cls, num_clusters: int, *computed: str) -> "Counts":
        """Nothing counted yet."""
        return cls(num_clusters, {}, np.zeros(MAX_RUN + 1, dtype=np.int64), frozenset(computed))

    def add(self, ids: np.ndarray, lengths: np.ndarray, languages: list[str]) -> None:
        """Count the ids (N,) of utterances of ``lengths`` (B,) and ``languages`` (B)."""
        names, codes = np.unique(languages, return_inverse=True)
        cells = np.repeat(codes, lengths) * self.num_clusters + ids
        table = np.bincount(cells, minlength=len(names) * self.num_clusters)
        for name, row in zip(names.tolist(), table.reshape(len(names), -1), strict=True):
            self.labels[name] = self.labels.get(name, 0) + row
        self.runs += np.bincount(
            np.minimum(run_lengths(ids, lengths), MAX_RUN), minlength=MAX_RUN + 1
        )

    def merge(self, other: "Counts") -> None:
        """Add what another shard counted."""
        for name, row in other.labels.items():
            self.labels[name] = self.labels.get(name, 0) + row
        self.runs += other.runs
        self.computed |= other.computed

    @property
    def by_cluster(self) -> np.ndarray:
        """(K,) int64 frames of each cluster."""
        return sum(self.labels.values(), start=np.zeros(self.num_clusters, dtype=np.int64))


def run_lengths(ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Lengths of the stretches of one label; a stretch ends with its utterance."""
    if not len(ids):
        return np.zeros(0, dtype=np.int64)
    is_first = np.ones(len(ids), dtype=bool)
    is_first[1:] = ids[1:] != ids[:-1]
    starts = np.cumsum(lengths)[:-1]
    is_first[starts[starts < len(ids)]] = True
    return np.diff(np.append(np.flatnonzero(is_first), len(ids)))


def shard_ids(store: LabelStore, shard: ShardRows) -> np.ndarray:
    """(frames,) uint16, the labels of one shard. Raises DataError where one is no cluster."""
    path = labels_file(store.folder, shard.name)
    ids = np.fromfile(path, DTYPE)
    if len(ids) != shard.frames or ids.max(initial=0) >= store.info.num_clusters:
        check_size(path, shard.frames)
        raise DataError(
            f"{path}: holds cluster {ids.max()}, but the codebook has {store.info.num_clusters}; "
            "delete it and run the label stage again"
        )
    return ids


def count_labels(store: LabelStore) -> Counts:
    """Count a finished label set again, from its files; one shard of it in memory."""
    counts = Counts.empty(store.info.num_clusters)
    for shard in store.index.each_shard():
        rows = slice(shard.rows.start, shard.rows.stop)
        lengths, languages = store.index.frames_of(rows), store.index.languages[rows]
        counts.add(shard_ids(store, shard), lengths, languages)
    return counts


def counts_file(labels: Path) -> Path:
    """Where the counts of a label file lie."""
    return labels.with_suffix(".counts.npz")


def save_counts(labels: Path, counts: Counts) -> None:
    """Write the counts of a label file beside it, atomically."""
    save_histograms(counts_file(labels), counts)


def save_histograms(path: Path, counts: Counts) -> None:
    """Write counts to an npz: ``languages`` (L), their ``labels`` (L, K), ``runs``."""
    names = sorted(counts.labels)
    table = np.array([counts.labels[name] for name in names], dtype=np.int64)
    with atomic_path(path) as part, open(part, "wb") as file:
        np.savez_compressed(
            file,
            languages=np.array(names, dtype=np.str_),
            labels=table.reshape(len(names), counts.num_clusters),
            runs=counts.runs,
            computed=np.array(sorted(counts.computed), dtype=np.str_),
        )


def load_counts(labels: Path) -> Counts:
    """Read what ``save_counts`` wrote."""
    with np.load(counts_file(labels), allow_pickle=False) as file:
        rows = zip(file["languages"].tolist(), file["labels"], strict=True)
        computed = frozenset(file["computed"].tolist())
        return Counts(file["labels"].shape[1], dict(rows), file["runs"], computed)


def summary(counts: Counts) -> dict[str, Any]:
    """Figures for ``quality.json``; entropies and divergences in bits."""
    by_cluster = counts.by_cluster
    frames = int(by_cluster.sum())
    runs = counts.runs
    return {
        "frames": frames,
        "hours": frames / FRAMES_PER_SECOND / 3600,
        "num_clusters": counts.num_clusters,
        "used_clusters": int((by_cluster > 0).sum()),
        "dead_clusters": int((by_cluster == 0).sum()),
        "entropy_bits": entropy(by_cluster),
        "perplexity": 2 ** entropy(by_cluster),
        "majority_share": float(by_cluster.max() / max(frames, 1)),
        "mean_run_frames": float(frames / max(runs.sum(), 1)),
        "longest_run_frames": int(np.flatnonzero(runs).max(initial=0)),
        "language_information": language_information(counts),
        "languages": {name: language_summary(counts, name) for name in sorted(counts.labels)},
    }


def language_summary(counts: Counts, name: str) -> dict[str, float]:
    """Hours of one language, its used clusters, and how far its histogram is from all the rest."""
    own = counts.labels[name]
    rest = counts.by_cluster - own
    return {
        "hours": float(own.sum() / FRAMES_PER_SECOND / 3600),
        "used_clusters": int((own > 0).sum()),
        "divergence_bits": divergence(own, rest) if rest.any() and own.any() else 0.0,
    }


def language_information(counts: Counts) -> float:
    """Share of the language's entropy that one label gives away, 0 to 1.

    High values mean that clusters stand for voices or channels more than for sounds.
    """
    table = np.array([counts.labels[name] for name in sorted(counts.labels)])  # (L, K)
    if len(table) < 2:
        return 0.0
    languages = entropy(table.sum(axis=1))
    joint = entropy(table.reshape(-1))
    return (languages + entropy(table.sum(axis=0)) - joint) / languages if languages else 0.0


def entropy(counts: np.ndarray) -> float:
    """Entropy in bits of a histogram (K,)."""
    share = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(share * np.log2(share)).sum() + 0.0)


def divergence(a: np.ndarray, b: np.ndarray) -> float:
    """Jensen-Shannon divergence in bits of two histograms (K,): 0 equal, 1 nothing in common."""
    p, q = a / a.sum(), b / b.sum()
    return max(entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2, 0.0)


def judge(figures: dict[str, Any], max_dead_ratio: float) -> None:
    """Refuse labels with too many dead clusters; too small a set is not judged.

    Raises:
        DataError: the share of clusters without a frame is above ``max_dead_ratio``.
    """
    clusters, dead = figures["num_clusters"], figures["dead_clusters"]
    if figures["frames"] >= FRAMES_TO_JUDGE * clusters and dead > max_dead_ratio * clusters:
        raise DataError(
            f"{dead} of {clusters} clusters have no frame, more than max_dead_ratio "
            f"{max_dead_ratio}; see quality.json; fit another codebook, or allow more dead ones"
        )
