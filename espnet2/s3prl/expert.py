"""A XEUS model with the interface that s3prl asks of an upstream.

Shapes: B utterances, N samples, T frames of 20 ms, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from espnet2.data.frames import HOP_SAMPLES
from espnet2.ssl.espnet_model import ESPnetSSLModel


class UpstreamExpert(nn.Module):
    """Hidden states of every block for a list of waveforms.

    There is no layer drop in the model and nothing is masked, in training neither: the number of
    states is always that of the blocks. ``model`` is in eval mode until s3prl fine-tunes it.
    """

    def __init__(self, model: ESPnetSSLModel) -> None:
        super().__init__()
        self.model = model

    def get_downsample_rates(self, key: str) -> int:
        """Samples a frame, the same for every ``key``."""
        return HOP_SAMPLES

    def forward(self, wavs: Sequence[Tensor]) -> dict[str, list[Tensor] | Tensor]:
        """Waveforms (N,) at 16 kHz, of any lengths, to ``hidden_states``: (B, T, D) a block, raw.

        ``last_hidden_state`` (B, T, D) is the last of them. A waveform shorter than one frame's
        window is padded with zeros to one. s3prl counts a frame a begun 320 samples, the model one
        a whole window: frames beyond an utterance's own repeat its last, as s3prl itself does for
        the longest of a batch, so that no utterance depends on the others.

        Raises ValueError: no waveforms, or one that is not floating point or not finite.
        """
        window = self.model.frontend.receptive_samples
        wavs = [F.pad(wav, (0, max(0, window - len(wav)))) for wav in wavs]
        lengths = torch.tensor([len(wav) for wav in wavs])
        speech = pad_sequence(wavs, batch_first=True)
        out = self.model.encode(speech, lengths, use_final_output=False)
        states = repeat_last(out.layers, out.lengths)
        return {"hidden_states": states, "last_hidden_state": states[-1]}


def repeat_last(states: Sequence[Tensor], num_frames: Tensor) -> list[Tensor]:
    """Each state (B, T, D) with the padding of an utterance replaced by its last frame."""
    frames = torch.arange(states[0].shape[1], device=num_frames.device)  # (T,)
    source = torch.minimum(frames[None], num_frames[:, None] - 1)  # (B, T)
    return [x.gather(1, source[:, :, None].expand_as(x)) for x in states]
