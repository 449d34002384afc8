"""Our side of ``bench data``: whole training batches as ``PretrainBatches`` makes them.

Loaded by ``answer.py``. The first request must be ``open``.
"""

import importlib.metadata
import time
from pathlib import Path

import torch

from espnet2.data.augment import CLEAN, MixConfig
from espnet2.data.banks import Bank
from espnet2.data.dataset import PretrainBatches
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.index import Index
from espnet2.data.labels import LabelStore
from espnet2.data.plan import Plan

SEED = 0


class Side:
    """The set under ``folder/dump`` (see ``data_audio.py``)."""

    def open(self, folder: str, noise_prob: float, rir_prob: float, noise_snr_db: list[float],
             speech_snr_db: float, speech_share: float, **_: float) -> dict:  # fmt: skip
        """Open index, labels, plan and banks, and say which version this is."""
        torch.set_num_threads(1)
        dump = Path(folder) / "dump"
        self.index = Index.open(dump / "train")
        self.labels = LabelStore.open(self.index, dump / "train" / "labels")
        self.plan = Plan.open(dump / "train" / "plan")
        self.noise, self.rirs = Bank.open(dump / "noise"), Bank.open(dump / "rirs")
        self.mixing = MixConfig(
            noise_prob=noise_prob, speech_share=speech_share, rir_prob=rir_prob,
            noise_snr_db=tuple(noise_snr_db), speech_snr_db=(-speech_snr_db, speech_snr_db),
        )  # fmt: skip
        return {"version": importlib.metadata.version("xeus"), "torch": torch.__version__}

    def batches(self, is_augmented: bool, number: int) -> dict:
        """Time pass ``number`` over the audio in batches: tensors of audio, labels, mask draws."""
        mixing, samples = self.mixing if is_augmented else CLEAN, 0
        batches = PretrainBatches(
            self.index, self.labels, self.plan, self.noise, self.rirs, mixing, SEED
        )
        start, cpu_start = time.perf_counter(), time.process_time()
        steps = round(self.plan.steps_per_pass)
        for step in range(number * steps, (number + 1) * steps):
            for micro in batches.batch(step):
                samples += int(micro["speech_lengths"].sum())
        return self.timed(start, cpu_start, samples)

    def decode(self) -> dict:
        """Time decoding every utterance, one after the other."""
        start, cpu_start = time.perf_counter(), time.process_time()
        samples = sum(len(self.index.audio(i)) for i in range(len(self.index)))
        return self.timed(start, cpu_start, samples)

    def timed(self, start: float, cpu_start: float, samples: int) -> dict:
        """Wall-clock and processor seconds since ``start``, and the audio made in them."""
        seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
        return {"seconds": [seconds], "cpu_s": cpu_s, "audio_s": samples / SAMPLE_RATE_HZ}
