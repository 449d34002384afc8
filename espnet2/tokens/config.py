"""Section ``tokens`` of a recipe: which teacher, how many clusters, fitted on what."""

from dataclasses import dataclass, field
from typing import Any

from espnet2.data.labels import MAX_CLUSTERS
from espnet2.utils.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Quota:
    """Hours of audio that a group of corpora gives to the k-means sample."""

    corpora: tuple[str, ...] = ()
    """Names of corpora as in the index; empty: every corpus that no other quota names."""

    hours: float | None = None
    """Hours drawn from the group as a whole; null: all of it."""


@dataclass(frozen=True, kw_only=True)
class TokensConfig:
    """Settings of the stages kmeans and label."""

    teacher: str = "mfcc"
    """Name of a teacher: "mfcc" (HuBERT's first iteration), "xeus" (a model of SSLTask; later
    ones), "wavlablm" (a HuBERT that ESPnet trained) or "hf" (a Hugging Face folder)."""

    teacher_conf: dict[str, Any] = field(default_factory=dict)
    """Settings of that teacher; see its config class in espnet2/tokens/teachers."""

    num_clusters: int = 100
    """Size of the codebook (HuBERT, arXiv 2106.07447: 100 for MFCC; XEUS, arXiv 2407.00837:
    2,048)."""

    quotas: tuple[Quota, ...] = (Quota(),)
    """Where the sample comes from. A corpus that no quota covers gives nothing; none may stand in
    two."""

    max_frames: int = 2_000_000
    """Frames kept in memory to fit on, spread evenly over the sample; 50 to 1,000 a cluster do.
    An utterance with none of them is not read."""

    kmeans_iterations: int = 30
    """Most passes of k-means over the frames; it ends where the inertia falls no more. After 20
    that is less than 0.05 % a pass."""

    batch_seconds: float = 60.0
    """Audio handed to the teacher at a time; changes no label."""

    max_dead_ratio: float = 0.1
    """Most clusters without a frame, as a share, before a stage fails."""

    def __post_init__(self) -> None:
        problems = list(self.problems())
        if problems:
            raise ConfigError("tokens: " + "; ".join(problems))

    def problems(self):
        """Everything that cannot work, one sentence each."""
        if not 2 <= self.num_clusters <= MAX_CLUSTERS:
            yield (
                f"num_clusters must be 2 to {MAX_CLUSTERS:,} (labels are 16-bit), "
                f"got {self.num_clusters:,}"
            )
        for name in ("max_frames", "kmeans_iterations", "batch_seconds"):
            if getattr(self, name) <= 0:
                yield f"{name} must be above 0, got {getattr(self, name)}"
        if not 0 <= self.max_dead_ratio <= 1:
            yield f"max_dead_ratio must lie in [0, 1], got {self.max_dead_ratio}"
        if not self.quotas:
            yield "quotas must hold at least one; {} takes everything"
        if sum(not quota.corpora for quota in self.quotas) > 1:
            yield "only one quota may leave corpora out (it takes every other corpus)"
        named = [name for quota in self.quotas for name in quota.corpora]
        for name in sorted({name for name in named if named.count(name) > 1}):
            yield f"quotas: corpus {name!r} is named twice"
        for quota in self.quotas:
            if quota.hours is not None and quota.hours <= 0:
                yield f"quotas: hours must be above 0, got {quota.hours}"
