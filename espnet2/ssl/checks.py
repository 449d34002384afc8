"""Check a user's batch at the door: one clear sentence each, then nothing is checked inside.

Shapes: B batch, N samples, T frames.
Lengths are read by the host. Give them as CPU tensors: a CUDA tensor costs one synchronisation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def check_batch(
    speech: Tensor, speech_lengths: Tensor, shortest: int, device: torch.device
) -> list[int]:
    """The utterances' lengths in samples.

    ``shortest`` is the front end's window in samples, ``device`` where the model is.

    Raises ValueError: wrong type, shape or device, empty batch, a length that is too short or
    too long, NaN or infinity in an utterance (looked for on CPU only, where it costs no
    synchronisation). Samples beyond an utterance's length may be anything.
    """
    check_tensor("speech", speech)
    if speech.dim() != 2:
        hint = {1: "; one utterance is speech[None]", 3: "; mix channels down to mono"}
        raise ValueError(
            f"speech must be (batch, samples), got {tuple(speech.shape)}"
            + hint.get(speech.dim(), "")
        )
    if not speech.is_floating_point():
        raise ValueError(
            f"speech must be floating point in -1..1, got {speech.dtype}; "
            "divide 16-bit audio by 32768"
        )
    check_device("speech", speech, device)
    if speech.shape[0] == 0:
        raise ValueError("speech must hold at least one utterance, got an empty batch")
    lengths = whole_numbers("speech_lengths", speech_lengths, speech.shape[0])
    for index, length in enumerate(lengths):
        if length > speech.shape[1]:
            raise ValueError(
                f"utterance {index}: length {length} exceeds the tensor's {speech.shape[1]} samples"
            )
        if length < shortest:
            raise ValueError(
                f"utterance {index} has {length} samples; at least {shortest} make one frame"
            )
    is_suspect = speech.device.type == "cpu" and not math.isfinite(speech.detach().sum())
    for index, length in enumerate(lengths if is_suspect else ()):
        is_bad = ~torch.isfinite(speech[index, :length])
        if is_bad.any():
            raise ValueError(
                f"utterance {index}: sample {int(is_bad.int().argmax())} is NaN or infinity"
            )
    return lengths


def check_tensor(name: str, value: Tensor) -> None:
    """Refuse what is no tensor, with the way to make it one."""
    if not isinstance(value, Tensor):
        raise ValueError(
            f"{name} must be a torch tensor, got {type(value).__name__}; "
            f"use torch.as_tensor({name})"
        )


def check_device(name: str, value: Tensor, device: torch.device) -> None:
    """Refuse a tensor that is elsewhere than the model."""
    if value.device != device:
        raise ValueError(
            f"{name} is on {value.device}, the model on {device}; use {name}.to('{device}')"
        )


def whole_numbers(name: str, lengths: Tensor, batch: int) -> list[int]:
    """``lengths`` (B,) as numbers of the host; ``name`` is for the error."""
    check_tensor(name, lengths)
    if tuple(lengths.shape) != (batch,):
        raise ValueError(
            f"{name} must hold one length an utterance: "
            f"{tuple(lengths.shape)} lengths for {batch} utterances"
        )
    if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool:
        raise ValueError(f"{name} must be whole numbers, got {lengths.dtype}")
    return lengths.tolist()


def check_labels(
    text: Tensor,
    text_lengths: Tensor,
    num_frames: Sequence[int],
    num_classes: int,
    device: torch.device,
) -> None:
    """Refuse labels that do not lie on the encoder's frames.

    Raises ValueError: wrong type, shape or device, a label too many or too few, an id outside
    0..C-1 (ids are looked at on CPU only, where it costs no synchronisation).
    """
    check_tensor("text", text)
    if text.dim() != 2 or text.shape[0] != len(num_frames):
        raise ValueError(
            f"text must be (batch, frames) for {len(num_frames)} utterances, "
            f"got {tuple(text.shape)}"
        )
    if text.dtype != torch.int64:
        raise ValueError(f"text must be int64 cluster ids, got {text.dtype}; use text.long()")
    check_device("text", text, device)
    counts = whole_numbers("text_lengths", text_lengths, len(num_frames))
    for index, (labels, frames) in enumerate(zip(counts, num_frames, strict=True)):
        if labels != frames:
            raise ValueError(
                f"utterance {index}: {labels} labels for {frames} frames; there must be one a frame"
            )
    if text.shape[1] != max(num_frames):
        raise ValueError(
            f"text is {text.shape[1]} labels wide, the features {max(num_frames)} frames"
        )
    for index, frames in enumerate(num_frames if text.device.type == "cpu" else ()):
        low, high = text[index, :frames].aminmax()
        if low < 0 or high >= num_classes:
            raise ValueError(
                f"utterance {index}: label {int(low if low < 0 else high)} is outside "
                f"0..{num_classes - 1}"
            )
