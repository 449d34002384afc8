"""lhotse's side of ``bench data``: Shar, DynamicBucketingSampler, transforms of cuts.

Loaded by ``answer.py``; uses nothing of this package. The first request must be ``open``.
"""

import time
from pathlib import Path

import lhotse
import torch
from lhotse import CutSet, Recording, RecordingSet
from lhotse.dataset import CutMix, DynamicBucketingSampler, ReverbWithImpulseResponse
from lhotse.dataset.unsupervised import UnsupervisedWaveformDataset

NUM_BUCKETS = 10  # or as many as there are utterances
RATE_HZ = 16000


class Side:
    """The audio of ``folder`` (see ``data_audio.py``) as lhotse reads it."""

    def open(self, folder: str, batch_s: float, noise_prob: float, rir_prob: float,
             noise_snr_db: list[float], **_: float) -> dict:  # fmt: skip
        """Export the audio to Shar once, and say which lhotse this is."""
        torch.set_num_threads(1)
        base = Path(folder)
        self.shar, self.batch_s = base / "shar", batch_s
        flacs = sorted((base / "flac").iterdir())
        self.num_buckets = min(NUM_BUCKETS, len(flacs))
        if not self.shar.exists():
            self.shar.mkdir()
            cuts = CutSet.from_cuts(Recording.from_file(path).to_cut() for path in flacs)
            cuts.to_shar(self.shar, fields={"recording": "flac"}, shard_size=100)
        noises = CutSet.from_cuts(recording.to_cut() for recording in recordings(base / "noise"))
        self.transforms = [
            CutMix(noises, snr=tuple(noise_snr_db), p=noise_prob, pad_to_longest=False,
                   random_mix_offset=True, preserve_id=True, seed=0),
            ReverbWithImpulseResponse(recordings(base / "rirs"), p=rir_prob, preserve_id=True),
        ]  # fmt: skip
        return {"version": lhotse.__version__, "torch": torch.__version__}

    def cuts(self) -> CutSet:
        """All cuts, read lazily."""
        return CutSet.from_shar(in_dir=self.shar)

    def batches(self, is_augmented: bool, number: int) -> dict:
        """Time a pass over the audio in batches of tensors; ``number`` seeds it."""
        dataset, samples = UnsupervisedWaveformDataset(), 0
        start, cpu_start = time.perf_counter(), time.process_time()
        sampler = DynamicBucketingSampler(
            self.cuts(),
            max_duration=self.batch_s,
            num_buckets=self.num_buckets,
            shuffle=True,
            seed=number,
        )
        for cuts in sampler:
            for transform in self.transforms if is_augmented else []:
                cuts = transform(cuts)
            samples += int(dataset[cuts]["audio_lens"].sum())
        return self.timed(start, cpu_start, samples)

    def decode(self) -> dict:
        """Time decoding every cut, one after the other."""
        start, cpu_start = time.perf_counter(), time.process_time()
        samples = sum(cut.load_audio().shape[1] for cut in self.cuts())
        return self.timed(start, cpu_start, samples)

    def timed(self, start: float, cpu_start: float, samples: int) -> dict:
        """Wall-clock and processor seconds since ``start``, and the audio made in them."""
        seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
        return {"seconds": [seconds], "cpu_s": cpu_s, "audio_s": samples / RATE_HZ}


def recordings(folder: Path) -> RecordingSet:
    """The WAV files of a folder."""
    return RecordingSet.from_recordings(
        Recording.from_file(path) for path in sorted(folder.glob("*.wav"))
    )
