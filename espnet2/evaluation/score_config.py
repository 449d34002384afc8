"""How cells are decoded and scored: ``report.score`` of a recipe."""

from dataclasses import dataclass

SPLITS = ("dev", "test")


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """Settings of stage 12."""

    batch_s: float = 40.0
    """Audio decoded at once, in seconds, padding included."""

    seed: int = 0
    """Seed of the bootstrap intervals."""
