"""A process that writes, plans or reads a synthetic index of any size, and says what it needed.

Loaded by ``answer.py``. Nothing of torch is imported, so the memory is that of index and plan.
"""

import os
import time
from pathlib import Path

import numpy as np

from espnet2.bench.synthetic_index import SyntheticIndex
from espnet2.data.config import PlanConfig
from espnet2.data.index import Index
from espnet2.data.plan import Plan, build_plan
from espnet2.utils.config import from_dict

SEED = 0
COLUMNS = ("shards", "offsets", "nbytes", "num_samples", "label_starts", "utt_ids")


class Side:
    """One of three jobs: ``begin``/``write``/``end``, or ``plan``, or ``open``/``batches``."""

    def begin(self, folder: str, rows: int) -> dict:
        """Begin an index of ``rows`` rows."""
        self.begun_s = time.perf_counter()
        self.synthetic = SyntheticIndex(Path(folder) / "index.arrow", rows, SEED)
        return {}

    def write(self, rows: int) -> dict:
        """Write the next rows, at most ``rows``; says how many there are now."""
        return {"rows": self.synthetic.write(rows)}

    def end(self) -> dict:
        """Finish the index."""
        self.synthetic.close()
        return {"seconds": time.perf_counter() - self.begun_s, **memory()}

    def plan(self, folder: str, config: dict) -> dict:
        """Plan the index, and say what share of the audio a pass crops."""
        start, index = time.perf_counter(), Path(folder) / "index.arrow"
        summary = build_plan(index, Path(folder) / "plan", from_dict(PlanConfig, config, "plan"),
                             SEED)  # fmt: skip
        seconds = time.perf_counter() - start
        return {
            "seconds": seconds, "cropped": summary["cropped_share"], "hours": summary["hours"],
            "steps": summary["steps_per_pass"], **memory(),
        }  # fmt: skip

    def open(self, folder: str, ranks: int) -> dict:
        """Open index and plan and find the first batch of rank 0 of ``ranks``."""
        start = time.perf_counter()
        self.index = Index.open(Path(folder), root=folder)
        self.planned, self.ranks = Plan.open(Path(folder) / "plan"), ranks
        found = self.find(0)
        return {"seconds": time.perf_counter() - start, "rows": len(found["utt_ids"])}

    def batches(self, count: int, seed: int) -> dict:
        """Seconds of each of ``count`` random batches out of two passes."""
        rng, seconds = np.random.default_rng(seed), []
        for step in rng.integers(max(1, int(2 * self.planned.steps_per_pass)), size=count):
            start = time.perf_counter()
            self.find(int(step))
            seconds.append(time.perf_counter() - start)
        return {"seconds": seconds}

    def find(self, step: int) -> dict:
        """Which utterances rank 0 reads at ``step``, and where their audio and labels lie."""
        rows = self.planned.batch(step).rows[:: self.ranks]
        return {name: getattr(self.index, name)[rows] for name in COLUMNS}

    def memory(self) -> dict:
        """Memory of this process now."""
        return memory()


def memory() -> dict[str, int]:
    """Bytes: peak resident, resident now without and with a file behind, and proportional."""
    status = sizes(Path("/proc/self/status"))
    shared = sizes(Path("/proc/self/smaps_rollup"))
    return {
        "peak": status["VmHWM"], "anonymous": status["RssAnon"], "file": status["RssFile"],
        "proportional": shared["Pss"],
    }  # fmt: skip


def sizes(path: Path) -> dict[str, int]:
    """Lines ``name: N kB`` of a file under /proc (Linux), in bytes."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {w[0].rstrip(":"): 1024 * int(w[1]) for w in lines if len(w) == 3 and w[2] == "kB"}


def forget(folder: Path) -> None:
    """Ask the kernel to drop the files of a folder from its cache; it may keep some."""
    for path in folder.rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            try:
                os.fsync(file)  # only clean pages can be dropped
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(file)
