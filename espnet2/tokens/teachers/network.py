"""What the teachers that are networks share: which utterances go through together, how precisely.

An utterance's frames must be the same bits in any batch, but matrix products of another shape add
up in another order. So the shape in which an utterance goes through is decided by its own length
alone. On a CPU that is the utterance by itself, which costs nothing there. On a GPU it is a batch
of so many rows of so many samples, filled with utterances that share it, or with silence; that the
rows of a batch do not influence each other is tried on the device when a shape is first used.

Shapes: B utterances, S samples, T frames, D width of a frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from espnet2.data.frames import HOP_SAMPLES, RECEPTIVE_SAMPLES, SAMPLE_RATE_HZ
from espnet2.tokens.teachers.base import Frames, each_alone, pack
from espnet2.utils.errors import ConfigError, XeusError
from espnet2.utils.logs import log

GRID_SAMPLES = SAMPLE_RATE_HZ // 2  # lengths of batches: few shapes, little padding
BATCH_SAMPLES = 100 * SAMPLE_RATE_HZ  # of a batch on a GPU: enough rows to fill one
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
NORMALISATIONS = ("none", "mean")


@dataclass(frozen=True, kw_only=True)
class NetworkTeacherConfig:
    """Settings that all of them have."""

    layer: int
    """Layer or block whose raw output (before any final norm) is clustered, counted from 1."""

    normalise: str = "none"
    """Per utterance and dimension: "none", or "mean": its mean is taken out, and with it much of
    voice and channel."""

    dtype: str = "auto"
    """Computed in float32 or bfloat16; auto: bfloat16 on CUDA alone, so that labels made on CPUs
    do not depend on which."""

    def __post_init__(self) -> None:
        for key, values in (("normalise", NORMALISATIONS), ("dtype", ("auto", *DTYPES))):
            if getattr(self, key) not in values:
                raise ConfigError(
                    f"teacher_conf: {key} must be one of {', '.join(values)}, "
                    f"got {getattr(self, key)!r}"
                )


class NetworkTeacher:
    """Base class: a subclass builds the network, cut at the layer, and says how it is called."""

    def __init__(
        self,
        network: nn.Module,
        dim: int,
        config: NetworkTeacherConfig,
        device: str,
        is_exact_in_batch: bool,
    ) -> None:
        """``dim``: D. ``is_exact_in_batch``: whether padding leaves no trace in an utterance's
        frames; if not, each goes through alone on any device."""
        self.device, self.dim, self.config = torch.device(device), dim, config
        dtype = config.dtype
        if dtype == "auto":
            dtype = "bfloat16" if self.device.type == "cuda" else "float32"
        self.computed = f"{self.device.type} {dtype}"
        self.network = network.to(self.device).eval().requires_grad_(False)
        if dtype == "bfloat16":
            store_as(self.network, torch.bfloat16)
        self.autocast = torch.autocast(
            self.device.type, torch.bfloat16, enabled=dtype == "bfloat16"
        )
        self.is_batched = is_exact_in_batch and self.device.type == "cuda"
        self._trusted: dict[tuple[int, int], bool] = {}  # shapes that were tried

    def layer_output(self, speech: Tensor, lengths: list[int]) -> tuple[Tensor, list[int]]:
        """``speech`` (B, S), zero beyond each length -> the layer (B, T, D) and frames of each.

        T may depend on S alone. For subclasses to write.
        """
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """What of the settings decides the frames, beside the weights."""
        return {"layer": self.config.layer, "normalise": self.config.normalise}

    def groups(self, num_samples: np.ndarray) -> list[np.ndarray]:
        """See ``Teacher``."""
        if not self.is_batched:
            return each_alone(num_samples)
        widths, groups = padded(num_samples), []
        for width in np.unique(widths).tolist():
            alike, rows = np.flatnonzero(widths == width), rows_of(width)
            groups += [alike[start : start + rows] for start in range(0, len(alike), rows)]
        return groups

    @torch.inference_mode()
    def frames(self, audio: Sequence[np.ndarray]) -> Frames:
        """See ``Teacher``; nothing for fewer than 400 samples.

        Raises XeusError when the device has too little memory.
        """
        parts = [torch.zeros(0, self.dim, device=self.device)] * len(audio)
        lengths = np.array([len(signal) for signal in audio], dtype=np.int64)
        heard = np.flatnonzero(lengths >= RECEPTIVE_SAMPLES)
        for group in self.groups(lengths[heard]):
            members = heard[group]
            try:
                states = self.group_frames([audio[i] for i in members])
            except torch.OutOfMemoryError:
                raise XeusError(
                    f"{self.device}: too little memory for a batch of "
                    f"{lengths[members].max() / SAMPLE_RATE_HZ:.1f} s utterances; use a larger "
                    "device, drop long ones (format: max_s), or label on the CPU"
                ) from None
            for i, part in zip(members, states, strict=True):
                parts[i] = part - part.mean(dim=0) if self.config.normalise == "mean" else part
        return pack(parts, self.dim, self.device)

    def group_frames(self, audio: Sequence[np.ndarray]) -> list[Tensor]:
        """(T, D) float32 of each signal of a group."""
        if not self.is_batched:
            return [self.alone(signal) for signal in audio]
        width = int(padded(np.array([len(audio[0])]))[0])
        rows = rows_of(width)
        speech = torch.zeros(rows, width)  # (B, S)
        for row, signal in zip(speech, audio, strict=False):
            row[: len(signal)] = torch.from_numpy(signal)
        lengths = [len(signal) for signal in audio]
        lengths += [RECEPTIVE_SAMPLES] * (rows - len(audio))
        if not self.is_trusted(rows, width):
            return [self.alone(signal) for signal in audio]
        states, frames = self.run(speech.to(self.device), lengths)
        return [states[row, :count] for row, count in enumerate(frames[: len(audio)])]

    def alone(self, signal: np.ndarray) -> Tensor:
        """(T, D) float32 of one signal (S,), in its own length."""
        speech = torch.from_numpy(signal).to(self.device)[None]  # (1, S)
        states, frames = self.run(speech, [len(signal)])
        return states[0, : frames[0]]

    def run(self, speech: Tensor, lengths: list[int]) -> tuple[Tensor, list[int]]:
        """``layer_output`` in the teacher's precision, as float32."""
        with self.autocast:
            states, frames = self.layer_output(speech, lengths)
        return states.float(), frames

    def is_trusted(self, rows: int, width: int) -> bool:
        """Whether a row's frames stay the same bits in another row; tried once a shape.

        On noise, so that the verdict does not depend on what is labelled first either.
        """
        shape = (rows, width)
        if shape not in self._trusted:
            speech = 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
            length = width - HOP_SAMPLES
            speech[:, length:] = 0
            speech = speech.to(self.device)
            states, frames = self.run(speech, [length] * rows)
            moved, _ = self.run(speech.roll(1, 0), [length] * rows)
            moved = moved.roll(-1, 0)
            self._trusted[shape] = torch.equal(states[:, : frames[0]], moved[:, : frames[0]])
            if not self._trusted[shape]:
                log(f"{self.device}: rows of {shape} influence each other; taken one by one")
        return self._trusted[shape]


def padded(num_samples: np.ndarray) -> np.ndarray:
    """Samples of the batch that an utterance of so many goes into, on a GPU.

    A frame more than the next half second holds, so that every batch has padding: without any,
    attention would take another kernel.
    """
    return (num_samples // GRID_SAMPLES + 1) * GRID_SAMPLES + HOP_SAMPLES


def rows_of(width: int) -> int:
    """Utterances in a batch of that many samples each, on a GPU."""
    return max(BATCH_SAMPLES // width, 1)


def store_as(network: nn.Module, dtype: torch.dtype) -> None:
    """Keep the large matrices in the type they are used in; autocast would cast them each time."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            module.to(dtype)
