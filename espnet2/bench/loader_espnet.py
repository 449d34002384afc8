"""ESPnet's side of ``bench data``: its dataset, its sampler and the collate of HuBERT and XEUS.

Loaded by ``answer.py`` under the interpreter of tools/espnet_venv, so it uses nothing of this
package. The first request must be ``open`` or ``sampler``.
"""

import importlib.metadata
import random
import time
from importlib import import_module
from pathlib import Path

import kaldiio
import numpy as np
import torch

# By name: the modules are of the other package called espnet2.
SAMPLER = "espnet2.samplers.num_elements_batch_sampler"
COLLATE, DATASET = "espnet2.train.collate_fn", "espnet2.train.dataset"
RATE_HZ = 16000


class Side:
    """The audio of ``folder`` (see ``data_audio.py``) as ESPnet reads it."""

    def open(
        self,
        folder: str,
        batch_s: float,
        noise_prob: float,
        rir_prob: float,
        noise_snr_db: list[float],
        speech_snr_db: float,
        speech_share: float,
    ) -> dict:
        """Open the Kaldi files and plan one pass, and say which ESPnet this is."""
        torch.set_num_threads(1)
        base = Path(folder)
        self.dataset = import_module(DATASET).ESPnetDataset(
            [
                (str(base / "wav.scp"), "speech", "kaldi_ark"),
                (str(base / "text"), "text", "text_int"),
            ]
        )
        self.plan = import_module(SAMPLER).NumElementsBatchSampler(
            batch_bins=round(batch_s * RATE_HZ), shape_files=[str(base / "shape")]
        )
        low, high = noise_snr_db
        collate_fn = import_module(COLLATE).HuBERTCollateFn
        self.collates = {
            True: collate_fn(
                mix_speech=True, noise_scp=str(base / "noise.scp"), noise_apply_prob=noise_prob,
                noise_db_range=f"{low:g}_{high:g}", dynamic_mixing_prob=1 - speech_share,
                dynamic_mixing_gain_db=speech_snr_db, reverb_speech=True,
                rir_scp=str(base / "rirs.scp"), rir_apply_prob=rir_prob,
            ),
            False: collate_fn(),
        }  # fmt: skip
        return {"version": importlib.metadata.version("espnet"), "torch": torch.__version__}

    def batches(self, is_augmented: bool, number: int) -> dict:
        """Time a pass over the audio in batches of tensors; ``number`` seeds it."""
        np.random.seed(number)
        random.seed(number)
        collate, samples = self.collates[is_augmented], 0
        start, cpu_start = time.perf_counter(), time.process_time()
        for keys in self.plan:
            _, batch = collate([self.dataset[key] for key in keys])
            samples += int(batch["speech_lengths"].sum())
        return self.timed(start, cpu_start, samples)

    def decode(self) -> dict:
        """Time decoding every utterance, one after the other."""
        start, cpu_start = time.perf_counter(), time.process_time()
        read = self.dataset.loader_dict["speech"]
        samples = sum(len(read[key]) for key in read)
        return self.timed(start, cpu_start, samples)

    def timed(self, start: float, cpu_start: float, samples: int) -> dict:
        """Wall-clock and processor seconds since ``start``, and the audio made in them."""
        seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
        return {"seconds": [seconds], "cpu_s": cpu_s, "audio_s": samples / RATE_HZ}

    def sampler(self, shape_file: str, scp_file: str, batch_bins: int) -> dict:
        """Seconds and resident bytes of a sampler, and of the addresses of its utterances."""
        build = import_module(SAMPLER).NumElementsBatchSampler
        before, start = resident_bytes(), time.perf_counter()
        sampler = build(batch_bins=batch_bins, shape_files=[shape_file])
        self.addresses = kaldiio.load_scp(scp_file)  # what its dataset holds for kaldi_ark
        first = next(iter(sampler))
        return {
            "seconds": time.perf_counter() - start, "bytes": resident_bytes() - before,
            "first": len(first), "version": importlib.metadata.version("espnet"),
        }  # fmt: skip


def resident_bytes() -> int:
    """VmRSS of this process (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmRSS")
