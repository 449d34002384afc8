"""Speech models of ``transformers`` as networks of audio: padded samples in, states out.

Shapes: B utterances, S samples, T frames, D model width.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from espnet2.data.frames import HOP_SAMPLES, RECEPTIVE_SAMPLES, SAMPLE_RATE_HZ
from espnet2.utils.errors import ConfigError

EPSILON = 1e-7  # under the root, as in Wav2Vec2FeatureExtractor
FBANK_SHIFT_SAMPLES = 160  # SeamlessM4TFeatureExtractor: 10 ms, fixed


class WaveformNetwork(nn.Module):
    """HuBERT, WavLM, wav2vec 2.0: samples, normalised where the folder asks for it."""

    extractor = "Wav2Vec2FeatureExtractor"

    def __init__(self, model: nn.Module, extractor: Any) -> None:
        """``model``: of transformers, cut at its layer; ``extractor``: says how it wants audio.

        Raises:
            ConfigError: frames that are not 20 ms apart.
        """
        super().__init__()
        config = model.config
        self.model, self.is_normalising = model, bool(extractor.do_normalize)
        self.convolutions = list(zip(config.conv_kernel, config.conv_stride, strict=True))
        hop = 1
        for _, stride in self.convolutions:
            hop *= stride
        if hop != HOP_SAMPLES:
            raise ConfigError(
                f"its convolutions step {hop} samples a frame, labels need {HOP_SAMPLES} (20 ms)"
            )
        # A group norm's statistics, and a batch norm that shifts zeros, reach over the padding.
        self.is_exact_in_batch = config.feat_extract_norm == "layer" and not getattr(
            config, "conv_pos_batch_norm", False
        )

    def forward(self, speech: Tensor, lengths: list[int]) -> tuple[Tensor, list[int]]:
        """(B, S) zero-padded -> states (B, T, D) and the frames of each utterance."""
        frames = [self.num_frames(length) for length in lengths]
        if max(frames) == 0:
            return speech.new_zeros(len(frames), 0, self.model.config.hidden_size), frames
        return self.outputs(speech, lengths).last_hidden_state, frames

    def outputs(self, speech: Tensor, lengths: list[int], **options: Any) -> Any:
        """What the model gives for (B, S) zero-padded, with transformers' ``options``."""
        if self.is_normalising:
            speech = normalised(speech, lengths)
        is_speech = None
        if min(lengths) < speech.shape[1]:
            is_speech = ~is_padding(speech, lengths)
        return self.model(speech, attention_mask=is_speech, **options)

    def num_frames(self, length: int) -> int:
        """Frames of so many samples; none for fewer than the first needs."""
        for kernel, stride in self.convolutions:
            length = max((length - kernel) // stride + 1, 0)
        return length


class FilterbankNetwork(nn.Module):
    """w2v-BERT: pairs of filter-bank frames, normalised over the utterance; one at a time."""

    extractor = "SeamlessM4TFeatureExtractor"
    is_exact_in_batch = False
    is_normalising = True

    def __init__(self, model: nn.Module, extractor: Any) -> None:
        """As ``WaveformNetwork``.

        Raises:
            ConfigError: frames that are not 20 ms apart, or of another width than the model's.
        """
        super().__init__()
        hop = extractor.stride * FBANK_SHIFT_SAMPLES
        width = extractor.stride * extractor.num_mel_bins
        if hop != HOP_SAMPLES:
            raise ConfigError(
                f"its features step {hop} samples a frame, labels need {HOP_SAMPLES} (20 ms)"
            )
        if width != model.config.feature_projection_input_dim:
            raise ConfigError(
                f"its features have {width} values a frame, "
                f"its model takes {model.config.feature_projection_input_dim}"
            )
        self.model, self.features = model, extractor

    def forward(self, speech: Tensor, lengths: list[int]) -> tuple[Tensor, list[int]]:
        """(1, S) -> states (1, T, D) and T, which may be one less than the frame law's."""
        (length,) = lengths
        frames = [self.num_frames(length)]
        if frames == [0]:
            return speech.new_zeros(1, 0, self.model.config.hidden_size), frames
        values = filterbanks(self.features, speech[0, :length].float().cpu().numpy())
        return self.outputs(values[None].to(speech.device), frames).last_hidden_state, frames

    def outputs(self, values: Tensor, frames: list[int], **options: Any) -> Any:
        """What the model gives for (B, T, 160) zero-padded, with transformers' ``options``."""
        is_speech = None
        if min(frames) < values.shape[1]:
            is_speech = ~is_padding(values, frames)
        return self.model(values, attention_mask=is_speech, **options)

    @staticmethod
    def num_frames(length: int) -> int:
        """Frames of so many samples: pairs of 10 ms, an odd last one is left out."""
        return max(((length - RECEPTIVE_SAMPLES) // FBANK_SHIFT_SAMPLES + 1) // 2, 0)


def filterbanks(extractor: Any, wave: np.ndarray) -> Tensor:
    """(S,) samples -> (T, 160) normalised, of a SeamlessM4TFeatureExtractor."""
    if not FilterbankNetwork.num_frames(len(wave)):
        return torch.zeros(0, extractor.stride * extractor.num_mel_bins)
    # Without padding an odd last frame is left out; with it, it would come back masked.
    features = extractor(
        [wave],
        sampling_rate=SAMPLE_RATE_HZ,
        padding=False,
        pad_to_multiple_of=None,
        return_tensors="pt",
    )
    return features["input_features"][0]


def normalised(speech: Tensor, lengths: list[int]) -> Tensor:
    """Zero mean and unit variance of each utterance's own samples: (B, S) -> (B, S)."""
    size = torch.tensor(lengths, device=speech.device).clamp(min=1)[:, None]  # (B, 1)
    mean = speech.sum(dim=1, keepdim=True) / size
    centred = (speech - mean).masked_fill(is_padding(speech, lengths), 0)
    variance = centred.square().sum(dim=1, keepdim=True) / size
    return centred / (variance + EPSILON).sqrt()


def is_padding(speech: Tensor, lengths: list[int]) -> Tensor:
    """(B, S) bool for ``speech`` (B, S, ...), True behind the end of an utterance."""
    ends = torch.tensor(lengths, device=speech.device)[:, None]
    return torch.arange(speech.shape[1], device=speech.device) >= ends
