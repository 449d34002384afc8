"""Where the wall time of training goes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from espnet2.train.distributed import World
from espnet2.train.memory import memory_gib
from espnet2.utils.peaks import peak_of


class Clock:
    """Wall time of an interval, split into computing, waiting for data and communicating.

    Whoever makes steps adds up ``audio_s`` (seconds, all ranks), ``flops`` (this rank's) and
    ``steps``.
    """

    exposed_s: Callable[[], float] | None = None
    """Seconds of communication since its last call that computing did not hide
    (``Parallel.exposed_s``); asked once an interval. None: nobody to talk to."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        peak = peak_of(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
        self.peak_flops_s = peak.matrix_flops_s if peak else None
        self.pauses = 0  # how many bodies of ``paused`` are running, one inside the other
        self.restart()

    def restart(self) -> None:
        """Begin an interval."""
        self.begun = time.perf_counter()
        self.audio_s = self.flops = self.waited_s = self.paused_s = 0.0
        self.steps = 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time that the body takes (validation, plots)."""
        start = time.perf_counter()
        self.pauses += 1
        try:
            yield
        finally:
            self.pauses -= 1
            if not self.pauses:
                self.paused_s += time.perf_counter() - start

    def waiting(self, batches: Iterator[Any]) -> Iterator[Any]:
        """``batches``, with the time it takes to get each one noted."""
        batches = iter(batches)
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.waited_s += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def read(self) -> dict[str, float]:
        """Rates since the last call; what is not known is left out.

        x_real_time: seconds of audio a second. mfu: share of the device's bfloat16 peak that the
        model's own arithmetic makes up. data_wait, communication: shares of the wall time.
        step_s: seconds a step. memory_gib: see ``memory.memory_gib``.
        """
        wall_s = max(time.perf_counter() - self.begun - self.paused_s, 1e-9)
        rates = {"x_real_time": self.audio_s / wall_s}
        if self.peak_flops_s and self.flops:
            rates["mfu"] = self.flops / wall_s / self.peak_flops_s
        rates["data_wait"] = self.waited_s / wall_s
        if self.exposed_s is not None:
            rates["communication"] = self.exposed_s() / wall_s
        rates["step_s"] = wall_s / max(self.steps, 1)
        memory = memory_gib(self.device)
        if memory is not None:
            rates["memory_gib"] = memory
        self.restart()
        return rates


def over_ranks(rates: dict[str, float], world: World) -> dict[str, float]:
    """Means over the ranks, of memory the largest; every rank must call it with the same names.

    Communication that no rank has measured is left out.
    """
    table = torch.zeros(world.size, len(rates), dtype=torch.float64, device=world.device)
    table[world.rank] = table.new_tensor(list(rates.values()))
    columns = zip(*world.sum(table).tolist(), strict=True)
    joined = {
        name: max(values) if name == "memory_gib" else sum(values) / world.size
        for name, values in zip(rates, columns, strict=True)
    }
    if joined.get("communication") == 0:
        del joined["communication"]
    return joined
