"""One thing that was looked at: how it is, what that means, what to do."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A line of the report."""

    subject: str
    """What was looked at: "threads"."""

    level: Level
    """ok; warn: slower or less than it could be; fail: something will not work."""

    found: str
    """What there is, with its numbers."""

    advice: str = ""
    """What it means and what to do; nothing where all is well."""

    def line(self) -> str:
        """For people: one line."""
        return f"{self.level:4}  {self.subject:14} {self.found}" + (
            f": {self.advice}" if self.advice else ""
        )

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def judged(subject: str, found: str, warn: str = "", fail: str = "", advice: str = "") -> Finding:
    """A finding that fails with the words ``fail``, else warns with ``warn``, else is ok.

    ``advice`` is said where all is well: rarely needed.
    """
    level: Level = "fail" if fail else "warn" if warn else "ok"
    return Finding(subject=subject, level=level, found=found, advice=fail or warn or advice)
