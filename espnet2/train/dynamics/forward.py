"""One checkpoint over the sample: hidden states to the disk, predictions, masked accuracy.

States lie on the disk, for the next checkpoint needs them again, and the reference's serve all. A
second forward pass would cost a hundred times what reading them does (mini model, one core: 1.2 s
and 0.01 s for 180 s of audio). They are float32: bfloat16 halves the file and moves CKA by 1e-5.

Shapes: L layers, N frames of the sample in the order of its batches, D width, B, T of a batch.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.train.dynamics.sample import BATCH_S, Batch, Sample
from espnet2.utils.errors import XeusError
from espnet2.utils.files import atomic_path


@dataclasses.dataclass
class Masked:
    """Sums over masked frames, on the device."""

    frames: Tensor  # scalars
    correct: Tensor
    loss: Tensor
    labels: Tensor  # (K,) masked frames of each cluster

    @classmethod
    def empty(cls, num_classes: int, device: torch.device) -> "Masked":
        """Nothing seen yet."""
        zero = torch.zeros((), dtype=torch.float64, device=device)
        labels = torch.zeros(num_classes, dtype=torch.int64, device=device)
        return cls(zero, zero.clone(), zero.clone(), labels)

    def add(self, model: ESPnetSSLModel, batch: Batch, device: torch.device) -> None:
        """One masked forward pass."""
        frames = model(
            batch.speech.to(device), batch.samples, batch.labels.to(device), batch.frames,
            batch.uniforms.to(device),
        ).frames  # fmt: skip
        labels = frames.labels[frames.is_masked]
        self.frames += frames.is_masked.sum()
        self.correct += (frames.predictions[frames.is_masked] == labels).sum()
        self.loss += frames.loss[frames.is_masked].double().sum()
        self.labels += torch.bincount(labels, minlength=len(self.labels))

    def figures(self) -> dict[str, float | None]:
        """Accuracy, loss, and what always naming the most frequent cluster would score."""
        frames = float(self.frames)
        return {
            "masked_frames": int(frames),
            "masked_acc": float(self.correct) / frames if frames else None,
            "masked_loss": float(self.loss) / frames if frames else None,
            "majority_share": float(self.labels.max()) / frames if frames else None,
        }


class States:
    """Hidden states of the sample in a file of plain float32, (L, N, D)."""

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self.path, self.shape = path, shape

    @property
    def is_there(self) -> bool:
        """Whether an earlier pass wrote it; what a kill interrupted never has this name."""
        return self.path.is_file() and self.path.stat().st_size == 4 * int(np.prod(self.shape))

    def read(self) -> Tensor:
        """(L, N, D), mapped from the disk."""
        return torch.from_numpy(np.memmap(self.path, np.float32, "c", shape=self.shape))

    def create(self, part: Path) -> np.memmap:
        """A file to write to; room for all of it is taken first, so a full disk is an error."""
        try:
            with open(part, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, 4 * int(np.prod(self.shape)))
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None
        return np.memmap(part, np.float32, "r+", shape=self.shape)


@torch.inference_mode()
def forward(
    model: ESPnetSSLModel, sample: Sample, states: States, device: torch.device, has_masked: bool
) -> tuple[dict[str, Any], np.ndarray]:
    """Write ``states``; returns masked figures (if asked for) and predictions (N,) uint16.

    Predictions are the head's on visible input, in the order of the label files. The last layer's
    states are those after the final norm, as the head sees them.

    Raises:
        XeusError: the device has too little memory.
    """
    loss, masked = model.losses[0], Masked.empty(model.losses[0].num_classes, device)
    predictions, start = np.zeros(sample.frames, np.uint16), 0
    with atomic_path(states.path, durable=False) as part:
        file = states.create(part)
        try:
            for batch in sample.batches(model.masker):
                layers = model.encode(batch.speech.to(device), batch.samples).layers
                is_real = batch.is_real.to(device)
                stop = start + int(batch.frames.sum())
                for row, layer in zip(file, layers, strict=True):
                    row[start:stop] = layer[is_real].float().cpu().numpy()
                best = loss.decoder(layers[loss.layers[-1]])[is_real].argmax(-1)
                predictions[sample.places[start:stop]] = best.cpu().numpy()
                if has_masked:
                    masked.add(model, batch, device)
                start = stop
        except torch.OutOfMemoryError:
            raise XeusError(
                f"{device}: too little memory for {BATCH_S:g} s of audio in one pass; "
                "use --device cpu, or a GPU that nothing else runs on"
            ) from None
    return masked.figures() if has_masked else {}, predictions
