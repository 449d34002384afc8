"""Check a user's batch at the door: one clear sentence each, then nothing is checked inside.

Shapes: B batch, N samples, T frames.
Lengths are read by the host. Give them as CPU tensors: a CUDA tensor costs one synchronisation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def check_batch(speech: Tensor, speech_lengths: Tensor, shortest: int) -> list[int]:
    """The utterances' lengths in samples; ``shortest`` is the front end's window.

    Raises ValueError: wrong shape or type, empty batch, a length that is too short or too long,
    NaN or infinity (looked for on CPU only, where it costs no synchronisation).
    """
    if speech.dim() != 2:
        raise ValueError(f"speech must be (batch, samples), got {tuple(speech.shape)}")
    if not speech.is_floating_point():
        raise ValueError(
            f"speech must be floating point in -1..1, got {speech.dtype}; "
            "divide 16-bit audio by 32768"
        )
    if speech.shape[0] == 0:
        raise ValueError("speech must hold at least one utterance, got an empty batch")
    if tuple(speech_lengths.shape) != (speech.shape[0],):
        raise ValueError(
            "speech_lengths must hold one length an utterance: "
            f"{tuple(speech_lengths.shape)} lengths for {speech.shape[0]} utterances"
        )
    if speech_lengths.is_floating_point():
        raise ValueError(f"speech_lengths must be whole numbers, got {speech_lengths.dtype}")
    lengths = speech_lengths.tolist()
    for index, length in enumerate(lengths):
        if length > speech.shape[1]:
            raise ValueError(
                f"utterance {index}: length {length} exceeds the tensor's {speech.shape[1]} samples"
            )
        if length < shortest:
            raise ValueError(
                f"utterance {index} has {length} samples; at least {shortest} make one frame"
            )
    is_on_host = speech.device.type == "cpu"
    if is_on_host and not math.isfinite(speech.sum()) and not torch.isfinite(speech).all():
        index = int((~torch.isfinite(speech)).any(1).nonzero()[0])
        raise ValueError(f"utterance {index}: speech holds NaN or infinity")
    return lengths


def check_labels(
    text: Tensor, text_lengths: Tensor, num_frames: Sequence[int], num_classes: int | None
) -> None:
    """Refuse labels that do not lie on the encoder's frames.

    Raises ValueError: wrong shape, a label too many or too few, an id outside 0..C-1 (ids are
    looked at on CPU only, where it costs no synchronisation).
    """
    if text.dim() != 2 or text.shape[0] != len(num_frames):
        raise ValueError(
            f"text must be (batch, frames) for {len(num_frames)} utterances, "
            f"got {tuple(text.shape)}"
        )
    for index, (labels, frames) in enumerate(zip(text_lengths.tolist(), num_frames, strict=True)):
        if labels != frames:
            raise ValueError(
                f"utterance {index}: {labels} labels for {frames} frames; there must be one a frame"
            )
    if text.shape[1] != max(num_frames):
        raise ValueError(
            f"text is {text.shape[1]} labels wide, the features {max(num_frames)} frames"
        )
    if text.device.type == "cpu" and num_classes is not None:
        for index, frames in enumerate(num_frames):
            low, high = text[index, :frames].aminmax()
            if low < 0 or high >= num_classes:
                raise ValueError(
                    f"utterance {index}: label {int(low if low < 0 else high)} is outside "
                    f"0..{num_classes - 1}"
                )
