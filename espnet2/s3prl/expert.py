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
    states is always that of the blocks. Dropout is as of any module: s3prl's ``S3PRLUpstream``
    turns it on when it is made, and its programs off again where the upstream is frozen.
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
        window is padded with zeros to one. T is what s3prl expects: a frame for every begun 320
        samples of the longest, one or two more than it has whole windows. Frames beyond an
        utterance's own repeat its last, so that none depends on the other utterances.

        Raises ValueError: a waveform that is not floating point or (looked for on the CPU only) not
        finite.
        """
        window = self.model.frontend.receptive_samples
        wavs = [F.pad(wav, (0, max(0, window - len(wav)))) for wav in wavs]
        lengths = torch.tensor([len(wav) for wav in wavs])
        speech = pad_sequence(wavs, batch_first=True)
        out = self.model.encode(speech, lengths, use_final_output=False)
        states = repeat_last(out.layers, out.lengths, -(-speech.shape[1] // HOP_SAMPLES))
        return {"hidden_states": states, "last_hidden_state": states[-1]}


def repeat_last(states: Sequence[Tensor], num_frames: Tensor, width: int) -> list[Tensor]:
    """Each state (B, T, D) as (B, width, D): after an utterance's frames (B,) its last again."""
    frames = torch.arange(width, device=num_frames.device)
    source = torch.minimum(frames[None], num_frames[:, None] - 1)[:, :, None]  # (B, width, 1)
    return [x.gather(1, source.expand(-1, -1, x.shape[2])) for x in states]
