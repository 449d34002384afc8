"""``XeusFeatureExtractor``: audio as the model takes it.

The model normalises each utterance itself, where it was trained to, so audio stays as it is.
"""

from typing import Any

import numpy as np
from transformers import BatchFeature, Wav2Vec2FeatureExtractor

from espnet2.data.frames import SAMPLE_RATE_HZ


class XeusFeatureExtractor(Wav2Vec2FeatureExtractor):
    """Mono audio at 16 kHz in +-1, zero-padded on the right, and the mask of what is audio."""

    def __init__(
        self,
        feature_size: int = 1,
        sampling_rate: int = SAMPLE_RATE_HZ,
        padding_value: float = 0.0,
        return_attention_mask: bool = True,
        do_normalize: bool = False,
        **kwargs: Any,
    ) -> None:
        """The arguments of transformers' extractor of raw audio, with the values of XEUS."""
        super().__init__(
            feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value,
            return_attention_mask=return_attention_mask, do_normalize=do_normalize, **kwargs,
        )  # fmt: skip

    def __call__(
        self,
        raw_speech: np.ndarray | list[float] | list[np.ndarray] | list[list[float]],
        padding: bool | str = True,
        sampling_rate: int | None = SAMPLE_RATE_HZ,
        **kwargs: Any,
    ) -> BatchFeature:
        """``input_values`` (B, N) and ``attention_mask`` (B, N) of one wave or a list of them.

        Raises:
            ValueError: audio of another rate, or of several channels.
        """
        return super().__call__(raw_speech, padding=padding, sampling_rate=sampling_rate, **kwargs)
