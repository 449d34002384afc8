"""What s3prl 0.4.18 calls in torchaudio, and torchaudio 2.9 and later no longer have.

Without it s3prl cannot be imported at all (https://github.com/s3prl/s3prl/issues/575). Only what is
missing is filled in, with libsndfile and soxr in place of sox.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from espnet2.utils.errors import ConfigError


def fill_torchaudio_gaps() -> None:
    """Give torchaudio ``set_audio_backend``, ``info``, ``sox_effects`` where they are gone, and
    ``load`` where torchcodec, which it asks for, is not installed.

    Raises ConfigError where there is no torchaudio.
    """
    try:
        import torchaudio
    except ModuleNotFoundError:
        raise ConfigError(
            "torchaudio is not installed, and s3prl imports it: pip install 'xeus[s3prl]'"
        ) from None
    if not hasattr(torchaudio, "set_audio_backend"):
        torchaudio.set_audio_backend = set_audio_backend
    if not hasattr(torchaudio, "info"):
        torchaudio.info = info
    if importlib.util.find_spec("torchcodec") is None:
        torchaudio.load = load
    name = "torchaudio.sox_effects"
    if name not in sys.modules and importlib.util.find_spec(name) is None:
        effects: Any = ModuleType(name, doc=__doc__)
        effects.apply_effects_file = apply_effects_file
        effects.apply_effects_tensor = apply_effects_tensor
        torchaudio.sox_effects = sys.modules[name] = effects


def set_audio_backend(name: str | None) -> None:
    """Nothing: there is one way to read audio."""


def info(path: Path | str) -> SimpleNamespace:
    """``sample_rate``, ``num_frames``, ``num_channels`` and more of an audio file."""
    file = soundfile.info(str(path))
    bits = file.subtype.rpartition("_")[2]
    return SimpleNamespace(
        sample_rate=file.samplerate, num_frames=file.frames, num_channels=file.channels,
        bits_per_sample=int(bits) if bits.isdecimal() else 0, encoding=file.subtype,
    )  # fmt: skip


def load(
    path: Path | str, frame_offset: int = 0, num_frames: int = -1, **options: Any
) -> tuple[Tensor, int]:
    """Samples (channels, N) float32 and their rate.

    Raises ConfigError on options: what they ask for is not here.
    """
    if options:
        raise ConfigError(f"torchaudio.load({', '.join(options)}) needs torchcodec: install it")
    samples, rate_hz = soundfile.read(
        str(path), num_frames, frame_offset, dtype="float32", always_2d=True
    )
    return torch.from_numpy(samples.T.copy()), rate_hz


def apply_effects_file(path: Path | str, effects: Sequence[Sequence[str]]) -> tuple[Tensor, int]:
    """A file's samples (channels, N) after the effects, and their rate."""
    return apply_effects_tensor(*load(path), effects)


def apply_effects_tensor(
    tensor: Tensor, sample_rate: int, effects: Sequence[Sequence[str]]
) -> tuple[Tensor, int]:
    """Samples (channels, N) after the effects, and their rate.

    Raises ConfigError: an effect other than ``channels 1``, ``rate HZ`` and ``gain DB``.
    """
    for name, *arguments in effects:
        if (name, *arguments) == ("channels", "1"):
            tensor = tensor.mean(0, keepdim=True)
        elif name == "rate" and len(arguments) == 1:
            rate_hz = int(arguments[0])
            samples = soxr.resample(np.ascontiguousarray(tensor.numpy().T), sample_rate, rate_hz)
            tensor, sample_rate = torch.from_numpy(samples.T.copy()), rate_hz
        elif name == "gain" and len(arguments) == 1:
            tensor = tensor * 10 ** (float(arguments[0]) / 20)
        else:
            raise ConfigError(
                f"sox effect '{' '.join((name, *arguments))}' went with torchaudio 2.9: run this "
                "task of s3prl with an older torchaudio, on features that were written before"
            )
    return tensor, sample_rate
