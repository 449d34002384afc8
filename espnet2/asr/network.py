"""What every encoder is to the probe: audio goes in, every layer comes out.

Shapes: B batch, N values of an input (samples, or rows of 20 ms), S samples of an utterance,
T frames of 20 ms, L layers, D width.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from espnet2.data.frames import HOP_SAMPLES, RECEPTIVE_SAMPLES
from espnet2.ssl.masking import Masker
from espnet2.ssl.part_configs import MaskConfig

LINEAR_ATTENTION = ("linear_q", "linear_k", "linear_v", "linear_out")


class Network(nn.Module):
    """An encoder as a module; utterance by utterance it gives ``frames.num_frames(S)`` frames.

    ``blocks`` are its transformer blocks from bottom to top, ``below`` what their input goes
    through, ``frontend`` the convolutions on the waveform below that. What is in none of them never
    learns.
    """

    num_layers: int
    """L: layers the probe may mix, mostly the input of the first block among them."""

    dim: int
    """D: width of each layer."""

    is_exact_in_batch = True
    """Whether padding leaves no trace in an utterance's frames."""

    lora_targets = LINEAR_ATTENTION
    """Last names of the linear layers that LoRA adds to, where nobody says which."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[nn.Module] = []
        self.below: list[nn.Module] = []
        self.frontend: list[nn.Module] = []
        self.masker: Masker | None = None
        self.prepare: Callable[[np.ndarray], Tensor] = torch.from_numpy
        """(S,) float32 in +-1 -> (N, ...): runs in the processes that load audio."""

    def layers(
        self,
        inputs: Tensor,
        num_samples: list[int],
        width: int | None = None,
        mask_uniforms: Tensor | None = None,
    ) -> tuple[list[Tensor], list[int]]:
        """L tensors (B, T, D), and the frames of each utterance.

        Args:
            inputs: (B, N, ...) of ``prepare``, zero-padded.
            num_samples: S of each utterance, at least one frame long.
            width: T, if not all frames of the padded input.
            mask_uniforms: (B, 2 T + 1) random numbers: mask spans before the first block.
        """
        raise NotImplementedError

    def mask_as(self, config: MaskConfig) -> None:
        """How ``mask_uniforms`` mask."""
        for name, value in vars(config).items():
            setattr(self.masker, name, value)

    def compute_twice(self) -> None:
        """Keep no activations of the blocks in training: gradient checkpointing."""
        raise NotImplementedError


def padded_inputs(inputs: list[Tensor], frames: int) -> Tensor:
    """(B, N, ...) zero-padded to just ``frames`` frames, for inputs (N, ...) of that many or fewer.

    Samples behind the last frame are kept: an utterance is normalised over all of them.
    """
    is_wave = inputs[0].dim() == 1
    size = frames * HOP_SAMPLES + RECEPTIVE_SAMPLES - 1 if is_wave else frames
    padded = inputs[0].new_zeros(len(inputs), size, *inputs[0].shape[1:])
    for row, one in zip(padded, inputs, strict=True):
        row[: len(one)] = one
    return padded
