"""Filter banks as an encoder: the benchmark's reference row.

Shapes: B batch, S samples, T frames of 20 ms.
"""

import kaldi_native_fbank
import numpy as np
import torch
from torch import Tensor

from espnet2.asr.network import Network
from espnet2.data.frames import SAMPLE_RATE_HZ, num_frames

MEL_BINS = 80
STACK = 2  # fbank frames of 10 ms in one of 20 ms
PCM_SCALE = 32768.0  # Kaldi's filter banks expect 16-bit values


class FbankNetwork(Network):
    """80 log-mel energies every 10 ms, mean of the utterance removed, two frames side by side."""

    num_layers, dim = 1, STACK * MEL_BINS

    def __init__(self) -> None:
        super().__init__()
        self.prepare = fbank_pairs

    def layers(
        self,
        inputs: Tensor,
        num_samples: list[int],
        width: int | None = None,
        mask_uniforms: Tensor | None = None,
    ) -> tuple[list[Tensor], list[int]]:
        """See ``Network``; ``inputs`` are the features themselves."""
        return [inputs[:, :width]], [num_frames(count) for count in num_samples]


def fbank_pairs(wave: np.ndarray) -> Tensor:
    """(S,) -> (T, 160); the last 10 ms frame is repeated where it has no partner."""
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = SAMPLE_RATE_HZ
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = MEL_BINS
    bank = kaldi_native_fbank.OnlineFbank(options)
    bank.accept_waveform(SAMPLE_RATE_HZ, wave * PCM_SCALE)
    bank.input_finished()
    frames = [bank.get_frame(index) for index in range(bank.num_frames_ready)]
    count = num_frames(len(wave))
    if not count:
        return torch.zeros(0, STACK * MEL_BINS)
    mel = np.stack(frames + frames[-1:])[: STACK * count]  # (2T, 80)
    mel = mel - mel.mean(axis=0)
    return torch.from_numpy(mel.reshape(count, STACK * MEL_BINS))
