"""Our side of ``bench tokens``: the stages kmeans and label, and a teacher's bare forward.

Loaded by ``answer.py`` in a process of one thread, which keeps to one core, so that what another
thread does for it is not had for nothing. The first request must be ``open``.
"""

import os
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from espnet2.bench.time_shares import shares
from espnet2.bench.worker import status_bytes
from espnet2.data.frames import RECEPTIVE_SAMPLES, SAMPLE_RATE_HZ
from espnet2.data.index import Index
from espnet2.data.labels import labels_file
from espnet2.tokens.codebook import load_codebook
from espnet2.tokens.config import TokensConfig
from espnet2.tokens.nearest import NearestCentroid
from espnet2.tokens.teachers.registry import TEACHERS, build_teacher
from espnet2.utils.config import from_dict
from espnet2.utils.work import load_entry

SEED = 0
ENTRIES = {  # as the stages name them; imported when asked for, as memory counts imports too
    "fit": "espnet2.tokens.kmeans:fit_codebook",
    "label": "espnet2.tokens.assign:label_shard",
    "finish": "espnet2.tokens.finish:finish_labels",
    "text": "espnet2.tokens.text:export_text",
}
BUCKET_S = 60.0  # audio of a padded batch of the bare forward
# Part of labelling -> the functions that do it; see ``time_shares.shares``.
PARTS = {
    "decode": [("index/index.py", "audio")],
    "forward": [("teachers/network.py", "frames"), ("teachers/mfcc.py", "frames")],
    "nearest": [("tokens/nearest.py", "__call__")],
    "count": [("tokens/quality/counts.py", "add")],
    "write": [("data/labels.py", "write_labels"), ("tokens/quality/counts.py", "save_counts")],
    "load": [("teachers/registry.py", "shared_teacher"), ("tokens/codebook.py", "load_codebook")],
}


class Side:
    """Labels one set of speech with one teacher."""

    def open(self, index: str, codebook: str, config: dict[str, Any], entries: list[str]) -> dict:
        """Say what is labelled with what; ``config``: the section ``tokens``.

        ``entries``: names in ENTRIES that will be asked for.
        """
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        torch.set_num_threads(1)
        self.index, self.codebook = Path(index), Path(codebook)
        self.config = from_dict(TokensConfig, config, "tokens")
        self.entries = {name: load_entry(ENTRIES[name]) for name in entries}
        import_module(TEACHERS[self.config.teacher][0])
        return {"torch": torch.__version__}

    def fit(self) -> dict:
        """The whole stage kmeans."""
        fit = self.entries["fit"]
        return timed(lambda: fit(self.index, self.codebook, self.config, SEED, "cpu"))

    def label(self, out: str) -> dict:
        """Every shard in turn; ``out``: folder of the label files."""
        return timed(lambda: self.label_all(Path(out)))

    def finish(self, out: str) -> dict:
        """Check the labels, say how good they look, write the sidecar."""
        finish = self.entries["finish"]
        return timed(lambda: finish(self.index, Path(out), self.codebook, 1.0))

    def text(self, out: str, text: str) -> dict:
        """The labels as text."""
        export = self.entries["text"]
        return timed(lambda: export(self.index, Path(out), Path(text)))

    def parts(self, out: str) -> dict:
        """Share of labelling of each of PARTS; what is left is "rest"."""
        return shares(lambda: self.label_all(Path(out)), PARTS)

    def label_all(self, out: Path) -> None:
        """Label each shard."""
        out.mkdir(parents=True, exist_ok=True)
        label = self.entries["label"]
        for shard in Index.open(self.index).each_shard():
            rows, path = (shard.rows.start, shard.rows.stop), labels_file(out, shard.name)
            label(self.index, shard.name, rows, self.codebook, path, self.config, "cpu")

    def hear(self) -> dict:
        """Build the teacher and decode all audio into memory; which ways there are forward."""
        config = self.config
        self.teacher = build_teacher(config.teacher, config.teacher_conf, "cpu")
        opened = Index.open(self.index)
        self.audio = [opened.audio(row) for row in range(len(opened))]
        return {"ways": ["alone", *(["padded"] if hasattr(self.teacher, "layer_output") else [])]}

    def forward(self, way: str) -> dict:
        """Time the bare forward over the audio in memory, "alone" or in "padded" batches."""
        call = {"alone": self.alone, "padded": self.padded}[way]
        with torch.inference_mode():
            return timed(call)

    def alone(self) -> None:
        """Each utterance by itself."""
        for signal in self.audio:
            self.teacher.frames([signal])

    def padded(self) -> None:
        """Batches of like lengths, padded to the longest; what a GPU would do."""
        for batch in buckets(self.audio, BUCKET_S):
            lengths = [len(signal) for signal in batch]
            speech = torch.zeros(len(batch), max(lengths))
            for row, signal in zip(speech, batch, strict=True):
                row[: len(signal)] = torch.from_numpy(signal)
            self.teacher.layer_output(speech, lengths)

    def spread(self, codebook: str) -> dict:
        """Mean squared distance of all frames of this side's teacher to the nearest centroid.

        ``codebook``: folder of one of ours, or a .npy file.
        """
        path = Path(codebook)
        is_ours = path.is_dir()
        centroids = load_codebook(path).centroids if is_ours else np.load(path).astype(np.float32)
        nearest, total, count = NearestCentroid(centroids), 0.0, 0
        for signal in self.audio:
            values = self.teacher.frames([signal]).values
            ids = nearest(values).astype(np.int64)
            total += np.square(values.numpy() - centroids[ids], dtype=np.float64).sum()
            count += len(ids)
        return {"mean": total / count, "frames": count}


def buckets(audio: list[np.ndarray], batch_s: float) -> Iterator[list[np.ndarray]]:
    """Signals by length, at most ``batch_s`` with padding or one; none shorter than a frame."""
    batch: list[np.ndarray] = []
    for signal in sorted(audio, key=len):
        if len(signal) < RECEPTIVE_SAMPLES:
            continue
        if batch and len(signal) * (len(batch) + 1) > batch_s * SAMPLE_RATE_HZ:
            yield batch
            batch = []
        batch.append(signal)
    if batch:
        yield batch


def timed(call: Callable[[], object]) -> dict:
    """Wall-clock and processor seconds of a call, and memory: before, peak of the process."""
    before = status_bytes("VmRSS")
    start, cpu_start = time.perf_counter(), time.process_time()
    call()
    return {
        "seconds": [time.perf_counter() - start], "cpu_s": time.process_time() - cpu_start,
        "before": before, "peak": status_bytes("VmHWM"),
    }  # fmt: skip
