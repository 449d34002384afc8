"""Which frames and channels the encoder does not see.

Shapes: B batch, T frames, D feature width.
The algorithm is the reference's, but nothing is equalised over the batch: an utterance's mask
depends on its own numbers and length only, and one of its frames stays visible.
"""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor, nn

from espnet2.nn.padding import Padding
from espnet2.ssl.part_configs import MaskConfig
from espnet2.ssl.spans import draw_spans, num_uniforms

SETTINGS = tuple(field.name for field in fields(MaskConfig))


class Masker(nn.Module):
    """Replace spans of frames by a learned vector, then spans of channels by zeros.

    Every field of ``MaskConfig`` is an attribute; they are read, and checked, at every call.
    """

    def __init__(self, dim: int, config: MaskConfig):
        super().__init__()
        self.mask_embedding = nn.Parameter(torch.rand(dim))
        for name in SETTINGS:
            setattr(self, name, getattr(config, name))

    def forward(
        self, x: Tensor, padding: Padding | None, uniforms: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """``x`` (B, T, D) -> the masked copy (B, T, D), and which frames are masked (B, T) bool.

        ``uniforms`` (B, num_uniforms(T)) in [0, 1), or torch's generator. Raises as ``draw``.
        """
        uniforms = self.checked(x.shape[0], x.shape[1], x.device, uniforms)
        is_masked = self.draw(x.shape[0], x.shape[1], x.device, padding, uniforms)
        x = self.fill(x, is_masked)
        if self.mask_channel_prob:
            x = x.masked_fill(self.draw_channels(uniforms)[:, None], 0.0)
        return x, is_masked

    def fill(self, x: Tensor, is_masked: Tensor) -> Tensor:
        """A copy of ``x`` (B, T, D) with the mask vector where ``is_masked`` (B, T)."""
        return torch.where(is_masked[..., None], self.mask_embedding.to(x.dtype), x)

    def draw(
        self,
        batch: int,
        num_frames: int,
        device: torch.device,
        padding: Padding | None,
        uniforms: Tensor | None = None,
    ) -> Tensor:
        """A fresh mask of frames (B, T) bool; ``uniforms`` as in ``forward``.

        Raises ValueError on uniforms of another shape or settings out of range.
        """
        uniforms = self.checked(batch, num_frames, device, uniforms)
        if padding is None:
            frames = torch.full((batch,), num_frames, device=device)
        else:
            frames = (~padding.is_pad).sum(1)
        return draw_spans(uniforms[:, : num_uniforms(num_frames)], frames, self.settings().spans)

    def draw_channels(self, uniforms: Tensor) -> Tensor:
        """The channels to silence, (B, D) bool, from the last of ``uniforms``."""
        dim = self.mask_embedding.numel()
        sizes = torch.full((len(uniforms),), dim, device=uniforms.device)
        return draw_spans(uniforms[:, -num_uniforms(dim) :], sizes, self.settings().channel_spans)

    def settings(self) -> MaskConfig:
        """Today's settings, checked: a user may have assigned to them."""
        return MaskConfig(**{name: getattr(self, name) for name in SETTINGS})

    def num_uniforms(self, num_frames: int) -> int:
        """Random numbers an utterance takes: 2T+1, then ``extra_uniforms``."""
        return num_uniforms(num_frames) + self.extra_uniforms

    @property
    def extra_uniforms(self) -> int:
        """Random numbers that an utterance takes for its channels: 2D+1, or 0."""
        has_channels = self.settings().mask_channel_prob > 0
        return num_uniforms(self.mask_embedding.numel()) if has_channels else 0

    def checked(
        self, batch: int, num_frames: int, device: torch.device, uniforms: Tensor | None
    ) -> Tensor:
        """``uniforms`` (B, num_uniforms(T)) on ``device``, or fresh ones."""
        expected = (batch, self.num_uniforms(num_frames))
        if uniforms is None:
            return torch.rand(expected, device=device)
        if tuple(uniforms.shape) != expected:
            more = " + 2*channels+1" if self.extra_uniforms else ""
            raise ValueError(
                f"mask_uniforms must be (batch, 2*frames+1{more}) = {expected}, "
                f"got {tuple(uniforms.shape)}"
            )
        return uniforms.to(device)
