"""Indexes without audio, and their plans."""

import numpy as np

from espnet2.data.config import PlanConfig
from espnet2.data.index import Index
from espnet2.data.index.writer import IndexWriter
from espnet2.data.plan import Plan, build_plan


def make_index(folder, lengths, languages=None, corpora=None):
    """FOLDER/index.arrow: utterance ``u00007`` has ``lengths[7]`` samples."""
    count = len(lengths)
    languages, corpora = languages or ["eng"] * count, corpora or ["c"] * count
    names = {
        "shard": ["c/shards/000.ark"],
        "language": sorted(set(languages)),
        "corpus": sorted(set(corpora)),
    }
    lengths = np.asarray(lengths, np.int64)
    with IndexWriter(folder / "index.arrow", names) as writer:
        writer.write(
            {
                "utt_id": [f"u{i:05d}" for i in range(count)],
                "recording": [f"u{i}" for i in range(count)],
                "speaker": ["s"] * count,
                "shard": np.zeros(count, np.int32),
                "language": np.array([names["language"].index(n) for n in languages], np.int32),
                "corpus": np.array([names["corpus"].index(n) for n in corpora], np.int32),
                "offset": np.zeros(count, np.int64),
                "nbytes": lengths // 3,
                "num_samples": lengths,
                "content_hash": np.arange(count, dtype=np.uint64),
            }
        )
    return Index.open(folder)


def make_plan(folder, lengths, seed=0, languages=None, corpora=None, **options):
    """A set planned with ``options`` of the section ``plan``; its plan, opened."""
    index = make_index(folder, lengths, languages, corpora)
    build_plan(index.path, folder / "plan", PlanConfig(**options), seed)
    return Plan.open(folder / "plan")


def in_small_chunks(monkeypatch, size):
    """Have every index walked ``size`` rows at a time."""

    def chunks(index):
        for begin in range(0, len(index), size):
            yield slice(begin, min(begin + size, len(index)))

    monkeypatch.setattr(Index, "chunks", chunks)
