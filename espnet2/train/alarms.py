"""Two diseases of a long run, seen in its figures: a loss that jumps, a model that collapses."""

import statistics
from collections import deque
from typing import Any

RECENT = 20  # reports that a loss is compared with
ENOUGH = 5  # reports before there is something to compare with
PATIENCE = 3  # reports that a spike may last
COLLAPSED = 0.1  # of the labels' entropy
HEALTHY = 0.2  # once above, a fall below COLLAPSED is a collapse ...
LEARNT_BY = 3000  # ... and from this step on it is one in any case


class Spikes:
    """A loss far above the median of the same phase's last reports."""

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio
        self.phase, self.recent, self.lasted = -1, deque(maxlen=RECENT), 0

    def look(self, phase: int, loss: float | None) -> str:
        """The alarm about an interval's loss, or ""."""
        if phase != self.phase:  # other masks and noise: another level
            self.phase, self.lasted = phase, 0
            self.recent.clear()
        if loss is None or not self.ratio:
            return ""
        median = statistics.median(self.recent) if len(self.recent) >= ENOUGH else None
        if median is None or loss <= self.ratio * median:
            self.recent.append(loss)
            self.lasted = 0
            return ""
        self.lasted += 1
        return f"loss {loss:.3f} is {loss / median:.1f} times its recent median {median:.3f}"

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"phase": self.phase, "recent": list(self.recent), "lasted": self.lasted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.phase, self.lasted = state["phase"], state["lasted"]
        self.recent = deque(state["recent"], maxlen=RECENT)

    def reason_to_go_back(self) -> str:
        """A spike that does not pass, or ""."""
        return f"the loss spike lasted {self.lasted} reports" if self.lasted >= PATIENCE else ""


class Collapse:
    """Predictions that say nearly nothing: always the same few clusters."""

    def __init__(self) -> None:
        self.was_healthy = self.is_collapsed = False

    def state_dict(self) -> dict[str, bool]:
        """Plain values."""
        return {"was_healthy": self.was_healthy, "is_collapsed": self.is_collapsed}

    def load_state_dict(self, state: dict[str, bool]) -> None:
        """Go on from a saved state."""
        self.was_healthy, self.is_collapsed = state["was_healthy"], state["is_collapsed"]

    def look(self, row: dict[str, Any]) -> str:
        """The alarm about an interval's entropies, once until they recover; or ""."""
        if not row.get("label_entropy") or "prediction_entropy" not in row:
            return ""
        share = row["prediction_entropy"] / row["label_entropy"]
        self.was_healthy |= share > HEALTHY
        may_judge = self.was_healthy or row["step"] > LEARNT_BY
        was, self.is_collapsed = self.is_collapsed, may_judge and share < COLLAPSED
        if not self.is_collapsed or was:
            return ""
        return (
            f"predictions have collapsed: their entropy is {row['prediction_entropy']:.2f} bits, "
            f"the labels' {row['label_entropy']:.2f}"
        )
