"""Batches of audio for an encoder that runs in every step, beside those of stored features.

Everything is a function of (seed, number of the batch), whichever process makes it.
Shapes: B batch, N values of an input, T frames of 20 ms padded to the bucket.
"""

import numpy as np
import torch
from torch import Tensor

from espnet2.asr.data import Batch, Collator, TrainBatches
from espnet2.asr.network import padded_inputs
from espnet2.asr.waves import Waves
from espnet2.ssl.spans import num_uniforms
from espnet2.utils.seeding import rng_for


class AudioCollator(Collator):
    """Pads audio and targets into the arguments of ``TunedModel.forward``."""

    features: Waves

    def arrays(self, chosen: np.ndarray) -> Batch:
        """``speech`` (B, N, ...) and ``speech_lengths`` (B,) samples."""
        inputs, lengths = self.features.inputs([self.examples[i].row for i in chosen])
        width = max(int(self.padded[chosen].max()), 1)
        return {"speech": padded_inputs(inputs, width), "speech_lengths": lengths}


class TunedBatches(TrainBatches):
    """Training batches with the random numbers of the encoder's masks."""

    def micro_batch(self, number: int) -> Batch:
        """See ``TrainBatches``; adds ``mask_uniforms`` (B, 2 T + 1)."""
        batch = super().micro_batch(number)
        epoch, index = divmod(number, self.per_epoch)
        frames = int(self.collator.padded[self.batches[index]].max())
        batch["mask_uniforms"] = self.mask_uniforms(batch["utt_ids"], frames, epoch)
        return batch

    def mask_uniforms(self, utt_ids: list[str], frames: int, epoch: int) -> Tensor:
        """(B, 2 T + 1) random numbers in [0, 1)."""
        count = num_uniforms(frames)
        draws = [rng_for(self.seed, "tuning masks", epoch, u).random(count) for u in utt_ids]
        return torch.from_numpy(np.stack(draws)).float()
