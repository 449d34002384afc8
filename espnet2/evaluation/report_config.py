"""Section ``report`` of a recipe: stages 12 and 13."""

from dataclasses import dataclass, field

from espnet2.evaluation.score_config import ScoreConfig


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Section ``report`` of the recipe."""

    title: str = "XEUS in miniature"
    """Heading of the page."""

    base_encoder: str = "fbank"
    """The encoder whose row scores 0 in SUPERB_s of this run."""

    is_benchmark: bool = False
    """The test data are ML-SUPERB itself, so that scores may stand beside the paper's."""

    commands: tuple[str, ...] = ("egs2/mini/ssl1/run.sh",)
    """Commands that make these results from a fresh checkout."""

    score: ScoreConfig = field(default_factory=ScoreConfig)
    """Decoding and intervals (stage 12)."""
