"""The plot of ``bench data``: memory and latency against the number of utterances."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from espnet2.utils.errors import ConfigError
from espnet2.utils.files import atomic_path

if TYPE_CHECKING:
    from espnet2.bench.data_scale import Measured

LIMIT_BYTES, LIMIT_OPEN_S, LIMIT_BATCH_S = 8, 2.0, 0.010  # an utterance; what must be kept


def plot_scale(path: Path, measured: Sequence[Measured]) -> None:
    """Write a PNG with two panels. Raises ConfigError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("the plot needs matplotlib: pip install 'xeus[report]'") from None
    rows = [one.rows for one in measured]
    figure = Figure(figsize=(10, 4), layout="constrained")
    memory, latency = figure.subplots(1, 2)
    memory.plot(rows, [one.memory["peak"] / 2**20 for one in measured], "o-", label="peak resident")
    memory.plot(rows, [one.both_bytes / 2**20 for one in measured], "s-", label="two processes")
    allowed = [(measured[0].memory["peak"] + LIMIT_BYTES * n) / 2**20 for n in rows]
    memory.plot(rows, allowed, "k:", label=f"{LIMIT_BYTES} bytes an utterance")
    memory.set(ylabel="MiB", title="Memory of a reading process")
    memory.set_ylim(bottom=0)
    latency.plot(rows, [one.open["seconds"] for one in measured], "o-", label="open, first batch")
    latency.plot(rows, [median(one.first_s) for one in measured], "^-", label="batch from disk")
    latency.plot(rows, [median(one.again_s) for one in measured], "s-", label="batch, cached")
    latency.axhline(LIMIT_OPEN_S, color="tab:blue", linestyle=":", label="limits")
    latency.axhline(LIMIT_BATCH_S, color="tab:orange", linestyle=":")
    latency.set(ylabel="seconds", title="Latency", yscale="log")
    for axes in (memory, latency):
        axes.set(xscale="log", xlabel="utterances in the index")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    with atomic_path(path) as part:
        figure.savefig(part, format="png", dpi=120)
