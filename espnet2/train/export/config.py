"""Section ``export`` of the recipe."""

import dataclasses
import re
from typing import Literal

from espnet2.utils.errors import ConfigError

LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Which weights are exported, and under which terms."""

    average: Literal["last", "best"] = "last"
    """Which checkpoints to average: the last intermediate ones, or the best by validation that
    ``pretrain.keep_nbest_models`` kept."""

    average_last: int = 5
    """How many of them at most; 1 takes the last, or the best, alone."""

    licence: str = "unknown"
    """Terms of the exported weights for the model card, as Hugging Face abbreviates them
    (``apache-2.0``, ``cc-by-nc-sa-4.0``). The corpora's own terms limit the choice."""

    def __post_init__(self) -> None:
        if self.average_last < 1:
            raise ConfigError(f"export: average_last must be at least 1, got {self.average_last}")
        if not LICENCE.fullmatch(self.licence):
            raise ConfigError(
                f"export: licence must be one word of Hugging Face's list, such as "
                f"cc-by-nc-sa-4.0, got {self.licence!r}"
            )
