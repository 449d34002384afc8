"""How cells are decoded and scored: ``report.score`` of a recipe."""

from dataclasses import dataclass

from espnet2.utils.errors import ConfigError

SPLITS = ("dev", "test")


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """Settings of stage 12."""

    batch_s: float = 40.0
    """Audio decoded at once, in seconds, padding included."""

    beam_size: int = 0
    """Beams of a search that adds up alignments (``pip install 'xeus[beam]'``); 0: greedy decoding,
    as the published tables have it."""

    seed: int = 0
    """Seed of the bootstrap intervals."""

    def __post_init__(self) -> None:
        if self.beam_size < 0 or self.batch_s <= 0:
            raise ConfigError(
                f"score: beam_size must be at least 0 and batch_s above 0, got {self.beam_size} "
                f"and {self.batch_s}"
            )
