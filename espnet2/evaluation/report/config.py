"""Section ``report`` of a recipe: stages 12 and 13."""

from dataclasses import dataclass, field
from pathlib import Path

from espnet2.evaluation.score_config import ScoreConfig


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Section ``report`` of the recipe."""

    title: str = "ML-SUPERB scores"
    """Heading of the page."""

    base_encoder: str = "fbank"
    """The encoder whose row scores 0 in SUPERB_s of this run."""

    is_benchmark: bool = False
    """The test data are ML-SUPERB itself, so that scores may stand beside the paper's."""

    commands: tuple[str, ...] = ()
    """Commands that make these results from a fresh checkout; what was typed follows them."""

    hours: dict[str, Path] = field(default_factory=dict)
    """Encoder -> file with the hours of each language it was pre-trained on (an ISO 639-3 code and
    a number a line), where this recipe did not pre-train it."""

    score: ScoreConfig = field(default_factory=ScoreConfig)
    """Decoding and intervals (stage 12)."""
