"""ESPnet's side of ``bench tokens``: features to disk, k-means on them, labels from them.

Loaded by ``answer.py`` under the interpreter of tools/espnet_venv, so it uses nothing of this
package. The three steps are those of HuBERT's recipe in espnet 202511 (perform_kmeans.sh), with
its settings: utterances one by one, Kaldi archives of float32, scikit-learn on all of them in
memory, a joblib file, and labels as text. A process keeps to one core and is asked for one step.
"""

import importlib.metadata
import itertools
import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans

# By name: the modules are of the other packages called espnet and espnet2, or only there.
READERS, WRITERS = "espnet.utils.cli_readers", "espnet.utils.cli_writers"
SAMPLER = "espnet2.samplers.num_elements_batch_sampler"
ITERATOR = "espnet2.iterators.sequence_iter_factory"
JOBLIB, TORCHAUDIO = "joblib", "torchaudio"
COLLATE, DATASET, TASK = "espnet2.train.collate_fn", "espnet2.train.dataset", "espnet2.tasks.hubert"
RATE_HZ = 16000
WINDOW, SHIFT = 400, 160  # samples of an MFCC frame
SEED = 0
PREFIX = "encoder.hubert_pretrain_model.wav2vec2."
WEIGHT_NORM = (
    ("parametrizations.weight.original0", "weight_g"),
    ("parametrizations.weight.original1", "weight_v"),
)  # torch's newer and older names
KMEANS = {
    "init": "k-means++", "max_iter": 100, "batch_size": 10000, "tol": 0.0,
    "max_no_improvement": 100, "n_init": 20, "reassignment_ratio": 0.0, "compute_labels": False,
    "init_size": None, "verbose": 1,
}  # fmt: skip


class Side:
    """One step for the speech of ``folder`` (see ``tokens_data.py``); files go to ``out``."""

    def open(self, folder: str, out: str, teacher: str, conf: dict[str, Any]) -> dict:
        """Import what every step needs, and say which ESPnet this is."""
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        torch.set_num_threads(1)
        self.folder, self.out = Path(folder), Path(out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.teacher, self.conf = teacher, conf
        for name in (READERS, WRITERS, JOBLIB):
            import_module(name)
        return {"version": importlib.metadata.version("espnet"), "torch": torch.__version__}

    def prepare_dump(self) -> dict:
        """Import what only the first step needs."""
        for name in (SAMPLER, ITERATOR, COLLATE, DATASET):
            import_module(name)
        import_module(TORCHAUDIO if self.teacher == "mfcc" else TASK)
        return {}

    def dump(self) -> dict:
        """Features of every utterance as Kaldi matrices, with their places and frames."""
        return timed(self.dump_features)

    def learn(self, clusters: int) -> dict:
        """k-means on all features."""
        return timed(lambda: self.learn_kmeans(clusters))

    def load(self, step: int) -> dict:
        """Only what k-means holds before it begins, of every ``step``-th utterance."""
        return timed(lambda: self.all_features(step))

    def label(self) -> dict:
        """Labels of all features as text."""
        return timed(self.dump_labels)

    def dump_features(self) -> None:
        """First step."""
        features = mfcc if self.teacher == "mfcc" else Network(self.conf)
        write = import_module(WRITERS).file_writer_helper
        with write(
            f"ark,scp:{self.out}/feats.ark,{self.out}/feats.scp",
            filetype="mat",
            write_num_frames=f"ark,t:{self.out}/utt2num_frames",
        ) as writer:
            for utt_ids, batch in self.batches():
                values, lengths = features(batch["speech"], batch["speech_lengths"])
                for row, utt_id in enumerate(utt_ids):
                    writer[utt_id] = values[row][: lengths[row]].numpy()

    def batches(self) -> Any:
        """ESPnet's iterator over one utterance at a time, in this process."""
        dataset = import_module(DATASET).ESPnetDataset(
            [(str(self.folder / "wav.scp"), "speech", "kaldi_ark")]
        )
        sampler = import_module(SAMPLER).NumElementsBatchSampler(
            batch_bins=1, shape_files=[str(self.folder / "utt2num_samples")]
        )
        collate = import_module(COLLATE).CommonCollateFn(float_pad_value=0.0, int_pad_value=-1)
        factory = import_module(ITERATOR).SequenceIterFactory(
            dataset=dataset, batches=list(sampler), collate_fn=collate, num_workers=0
        )
        return factory.build_iter(0)

    def features(self) -> Any:
        """Utterances and their dumped features, one after the other."""
        read = import_module(READERS).file_reader_helper
        return read(f"scp:{self.out}/feats.scp", "mat")

    def all_features(self, step: int = 1) -> np.ndarray:
        """Features (N, D) of every ``step``-th utterance."""
        loaded = [values for _, values in itertools.islice(self.features(), 0, None, step)]
        return np.concatenate([np.concatenate(loaded)])  # a shard, then the shards

    def learn_kmeans(self, clusters: int) -> None:
        """Second step."""
        np.random.seed(SEED)
        frames = self.all_features()
        model = MiniBatchKMeans(n_clusters=clusters, **KMEANS)
        model.fit(frames)
        import_module(JOBLIB).dump(model, self.out / "km.mdl")
        print("inertia", -model.score(frames) / len(frames))
        np.save(self.out / "centroids.npy", model.cluster_centers_)

    def dump_labels(self) -> None:
        """Third step, with the text that perform_kmeans.sh makes of what it wrote."""
        centroids = import_module(JOBLIB).load(self.out / "km.mdl").cluster_centers_.T  # (D, K)
        squares = (centroids**2).sum(0, keepdims=True)
        write = import_module(WRITERS).file_writer_helper
        raw = self.out / "labels.ark.txt"
        with write(f"ark,t:{raw}", filetype="mat") as writer:
            for utt_id, x in self.features():
                distance = (x**2).sum(1, keepdims=True) - 2 * np.matmul(x, centroids) + squares
                writer[utt_id] = np.argmin(distance, axis=1)
        lines = raw.read_text().replace(" [ ", "").replace(" ]", "").splitlines()
        (self.out / "text").write_text("".join(f"{line}\n" for line in sorted(set(lines))))
        raw.unlink()


class Network:
    """Hidden states of one layer of a HuBERT model of ESPnet's HubertTask."""

    def __init__(self, conf: dict[str, Any]) -> None:
        """``conf``: ``checkpoint`` with its config.yaml beside it, and ``layer`` from 1.

        Raises ValueError when the checkpoint does not fit, which ESPnet passes over in silence.
        """
        task = import_module(TASK).HubertTask
        model, _ = task.build_model_from_file(None, conf["checkpoint"], "cpu")
        self.model = model.encoder.hubert_pretrain_model.eval().wav2vec2
        saved = torch.load(conf["checkpoint"], weights_only=True)
        for name, value in self.model.state_dict(prefix=PREFIX).items():
            for new, old in WEIGHT_NORM:
                name = name.replace(new, old)
            if not torch.equal(value, saved[name]):
                raise ValueError(f"{conf['checkpoint']}: {name} was not loaded")
        self.layer = conf["layer"]

    @torch.inference_mode()
    def __call__(self, speech: torch.Tensor, lengths: torch.Tensor) -> tuple[Any, Any]:
        """(B, S) -> the layer (B, T, D) and frames of each."""
        states, frames = self.model.extract_features(speech, lengths, num_layers=self.layer)
        return states[-1], frames


@torch.no_grad()
def mfcc(speech: torch.Tensor, lengths: torch.Tensor) -> tuple[list[torch.Tensor], list[int]]:
    """(B, S) -> 39 values every 10 ms of each, and their number."""
    torchaudio, features, frames = import_module(TORCHAUDIO), [], []
    for row, length in zip(speech, lengths.tolist(), strict=True):
        first = torchaudio.compliance.kaldi.mfcc(
            waveform=row[None], sample_frequency=RATE_HZ, use_energy=False
        ).T
        slope = torchaudio.functional.compute_deltas(first)
        parts = [first, slope, torchaudio.functional.compute_deltas(slope)]
        features.append(torch.cat(parts).T.contiguous())
        frames.append((length - WINDOW) // SHIFT + 1)
    return features, frames


def timed(call: Any) -> dict:
    """Wall-clock and processor seconds of a call, and memory: before, peak of the process."""
    before = status_bytes("VmRSS")
    start, cpu_start = time.perf_counter(), time.process_time()
    call()
    return {
        "seconds": [time.perf_counter() - start], "cpu_s": time.process_time() - cpu_start,
        "before": before, "peak": status_bytes("VmHWM"),
    }  # fmt: skip


def status_bytes(key: str) -> int:
    """A size in /proc/self/status (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")
