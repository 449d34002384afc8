"""Utterances and hours: what a stage took in and gave out."""

from collections import Counter


def summary(n_in: int, hours_in: float, n_out: int, hours_out: float, reasons: Counter) -> str:
    """``in: … -> out: …; dropped: …``, the line every stage prints."""
    lost = ", ".join(f"{reason} {n}" for reason, n in sorted(reasons.items())) or "none"
    return (
        f"in: {n_in} utts / {hours_in:.2f} h -> out: {n_out} utts / {hours_out:.2f} h; "
        f"dropped: {lost}"
    )
