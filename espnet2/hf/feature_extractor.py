"""``XeusFeatureExtractor``: audio as the model takes it.

The model normalises each utterance itself, where it was trained to, so audio stays as it is.
"""

from typing import Any

import numpy as np
from torch import Tensor
from transformers import BatchFeature, Wav2Vec2FeatureExtractor

from espnet2.data.frames import SAMPLE_RATE_HZ

NUMBER = float | int | np.number


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
        raw_speech: np.ndarray | Tensor | list[Any],
        padding: bool | str = True,
        sampling_rate: int | None = SAMPLE_RATE_HZ,
        **kwargs: Any,
    ) -> BatchFeature:
        """``input_values`` (B, N) float32 and ``attention_mask`` (B, N) of one wave or several.

        ``raw_speech``: a wave (N,), a list of waves, or an array of waves of one length (B, N).

        Raises:
            ValueError: audio of another rate or of several channels, of whole numbers, with NaN or
                infinity, or none at all.
        """
        if sampling_rate not in (None, self.sampling_rate):
            raise ValueError(
                f"audio is at {sampling_rate} Hz, and XEUS hears {self.sampling_rate}: "
                f"soxr.resample(wave, {sampling_rate}, {self.sampling_rate}) brings it there"
            )
        return super().__call__(
            waves_of(raw_speech), padding=padding, sampling_rate=sampling_rate, **kwargs
        )


def waves_of(audio: Any) -> list[np.ndarray]:
    """The waves (N,) float32 in what ``XeusFeatureExtractor`` is given.

    Raises:
        ValueError: there are none, or one cannot be used.
    """
    is_one = True
    if isinstance(audio, np.ndarray | Tensor):
        is_one = audio.ndim < 2
        if audio.ndim == 2 and audio.shape[0] > audio.shape[1]:
            raise ValueError(
                f"audio of shape {tuple(audio.shape)} is no batch (utterances, samples); mix "
                "channels down to mono: wave.mean(1)"
            )
    elif isinstance(audio, list | tuple):
        if not audio:
            raise ValueError("there is no audio: the list of waves is empty")
        is_one = isinstance(audio[0], NUMBER)
    return [wave_of(wave, index) for index, wave in enumerate([audio] if is_one else audio)]


def wave_of(audio: Any, index: int) -> np.ndarray:
    """One of them (N,) as an array of float32."""
    if not isinstance(audio, np.ndarray | Tensor | list | tuple):
        raise ValueError(
            f"utterance {index} must be a wave (samples,), got {type(audio).__name__}: a file's is "
            "soundfile.read(path, dtype='float32')[0], a data set's row['audio']['array']"
        )
    if isinstance(audio, Tensor):
        audio = audio.detach().cpu()
        audio = audio.float() if audio.is_floating_point() else audio  # numpy has no bfloat16
    wave = np.asarray(audio)
    if wave.ndim != 1:
        raise ValueError(
            f"utterance {index} must be (samples,), got {wave.shape}; mix channels down to mono"
        )
    if not np.issubdtype(wave.dtype, np.floating):
        raise ValueError(
            f"utterance {index} must be floating point in -1..1, got {wave.dtype}; "
            "divide 16-bit audio by 32768"
        )
    is_bad = ~np.isfinite(wave)
    if is_bad.any():
        raise ValueError(f"utterance {index}: sample {is_bad.argmax()} is NaN or infinity")
    return wave.astype(np.float32, copy=False)
