"""A trained cell that hears audio: encoder, probe and vocabulary behind one method.

Shapes: S samples of a wave.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from espnet2.asr.network import padded_inputs
from espnet2.asr.tuned_model import TunedModel
from espnet2.asr.vocabulary import Vocabulary
from espnet2.data.frames import num_frames
from espnet2.evaluation.decode import greedy
from espnet2.ssl.extract import padded_groups
from espnet2.utils.errors import DataError


class SpeechRecogniser(nn.Module):
    """Waves in, text out."""

    def __init__(self, model: TunedModel, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.model, self.vocabulary = model, vocabulary

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.model.probe.parameters()).device

    @torch.inference_mode()
    def transcribe(self, waves: Sequence[np.ndarray | Tensor], batch_s: float = 40.0) -> list[str]:
        """What is said in each wave (S,), a float in +-1 at 16 kHz: the best token of each frame.

        ``[iso] TEXT`` of a joint cell, ``[iso]`` of one for languages, phones with spaces between
        them of one that learned phones; "" where nothing is recognised.

        On a CPU each wave goes alone, so that its text depends on nothing else. ``batch_s``: padded
        seconds at once on a GPU, where products of another shape add up in another order, and a
        token may differ where two are nearly as likely.

        Raises:
            DataError: something that is no wave.
        """
        arrays = [as_wave(wave, number) for number, wave in enumerate(waves)]
        texts = [""] * len(arrays)
        heard = np.array(
            [row for row, wave in enumerate(arrays) if num_frames(len(wave))], dtype=int
        )
        lengths = np.array([len(arrays[row]) for row in heard])
        for group in padded_groups(lengths, batch_s):
            rows = heard[group]
            # Some encoders hear the padding of a batch; on a CPU being alone costs little.
            is_together = self.model.encoder.is_exact_in_batch and self.device.type != "cpu"
            parts = [rows] if is_together else rows[:, None]
            for part in parts:
                found = self.one_batch([arrays[row] for row in part])
                for row, text in zip(part, found, strict=True):
                    texts[row] = text
        return texts

    def one_batch(self, waves: list[np.ndarray]) -> list[str]:
        """Texts of waves of at least a frame, together."""
        samples = torch.tensor([len(wave) for wave in waves])
        inputs = [self.model.encoder.prepare(wave) for wave in waves]
        frames = int(num_frames(samples.numpy()).max())
        speech = padded_inputs(inputs, frames).to(self.device)
        log_probs, counts = self.model.log_probs(speech, samples)
        return [self.vocabulary.decode(ids) for ids in greedy(log_probs, counts)]


def as_wave(wave: np.ndarray | Tensor, number: int) -> np.ndarray:
    """(S,) float32.

    Raises:
        DataError: it has more dimensions, or values that are no floats in about +-1.
    """
    array = np.asarray(wave.cpu() if isinstance(wave, Tensor) else wave)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.floating):
        raise DataError(
            f"wave {number} is {array.dtype} {array.shape}; give (samples,) of floats in +-1 at "
            f"16 kHz"
        )
    return array.astype(np.float32)
