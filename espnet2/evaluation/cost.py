"""What a cell cost: seconds of its steps, on which device, hours of GPUs."""

from pathlib import Path
from typing import Any

from espnet2.evaluation.references import read_json_file
from espnet2.train.metrics import read_metrics


def cell_cost(folder: Path) -> dict[str, Any] | None:
    """Cost of training the cell in ``folder``; None where it left no metrics.

    ``seconds`` adds up the steps that count: not validation, not features made before, not what a
    killed run did after its last checkpoint. ``gpu_hours``: seconds times GPUs, None on a CPU.
    """
    folder = Path(folder)
    seconds, steps = step_seconds(read_metrics(folder / "metrics.jsonl"))
    if not steps:
        return None
    about = read_json_file(folder / "provenance.json", default={})
    gpus = about.get("gpu", "")
    count = gpu_count(gpus)
    return {
        "seconds": round(seconds, 1),
        "steps": steps,
        "device": gpus or about.get("hardware", "unknown"),
        "gpus": count,
        "gpu_hours": round(seconds * count / 3600, 5) if count else None,
    }


def step_seconds(rows: list[dict[str, Any]]) -> tuple[float, int]:
    """Seconds of all steps and their number, from the rows of ``metrics.jsonl``."""
    seconds, last = 0.0, 0
    for row in rows:
        if row["split"] == "train":
            seconds += row.get("step_s", 0.0) * (row["step"] - last)
            last = row["step"]
    return seconds, last


def gpu_count(gpus: str) -> int:
    """How many GPUs ``"8 x NVIDIA H100"`` is; several kinds are parted by ``", "``."""
    return sum(int(kind.split(" x ")[0]) for kind in gpus.split(", ") if " x " in kind)
