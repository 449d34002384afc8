"""The line that a person reads while a run goes on."""

from typing import Any


def progress_line(row: dict[str, Any], max_steps: int) -> str:
    """The row of an interval as one line; what the row does not say is left out."""
    parts = [f"step {row['step']}/{max_steps}"]
    if "loss" in row:
        parts.append(f"loss {row['loss']:.3f}")
    parts += [f"{name} {100 * row[name]:.1f} %" for name in shown_accuracies(row)]
    parts.append(f"lr {row['lr']:.1e}")
    if "grad_norm" in row:
        parts.append(f"grad {row['grad_norm']:.2f}")
    if row["x_real_time"]:
        parts.append(f"{row['x_real_time']:.0f} x real time")
    for name, label in (("mfu", "MFU"), ("data_wait", "data wait"), ("communication", "comm")):
        if name in row:
            parts.append(f"{label} {100 * row[name]:.1f} %")
    if "memory_gib" in row:
        parts.append(f"{row['memory_gib']:.1f} GiB")
    if row.get("skipped"):
        parts.append(f"SKIPPED {100 * row['skipped']:.0f} % (not finite)")
    parts.append(f"ETA {duration((max_steps - row['step']) * row['step_s'])}")
    return "  ".join(parts)


def shown_accuracies(row: dict[str, Any]) -> list[str]:
    """``masked_acc`` where there is one, else every accuracy."""
    names = sorted(name for name in row if name.endswith("acc"))
    return ["masked_acc"] if "masked_acc" in names else names


def validation_line(row: dict[str, Any]) -> str:
    """A row of validation as one line: loss and everything that is a share."""
    shares = [name for name in sorted(row) if name.endswith(("acc", "_share"))]
    loss = f"loss {row['loss']:.3f}" if "loss" in row else "loss not finite"
    parts = [f"valid at step {row['step']}", loss]
    return "  ".join([*parts, *(f"{name} {100 * row[name]:.1f} %" for name in shares)])


def duration(seconds: float) -> str:
    """``75`` -> ``1m15s``, ``90000`` -> ``1d01h``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, day_hours = divmod(hours, 24)
    if days:
        return f"{days}d{day_hours:02d}h"
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
