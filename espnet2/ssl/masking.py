"""Which frames the encoder does not see.

Shapes: B batch, T frames, D feature width.
Everything is drawn from one table of uniform numbers (B, 2T+1), on the device, without a loop:
column 0 rounds the number of spans, columns 1..T order the possible starts, the rest draw the
lengths of the spans. Each utterance's mask depends on its own row and length only; nothing is
equalised over the batch. The algorithm is the reference's, with overlapping spans.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from espnet2.nn.padding import Padding
from espnet2.ssl.part_configs import MaskConfig

MIN_SPANS = 2  # wav2vec 2.0, HuBERT and XEUS mask at least two spans an utterance
SELECTIONS = ("static", "uniform", "normal", "poisson")


class Masker(nn.Module):
    """Replace spans of frames by a learned vector.

    ``mask_prob``, ``mask_length``, ``mask_selection`` and ``mask_other`` are read at every call.
    """

    def __init__(self, dim: int, config: MaskConfig):
        super().__init__()
        self.mask_embedding = nn.Parameter(torch.rand(dim))
        self.mask_prob = config.mask_prob
        self.mask_length = config.mask_length
        self.mask_selection = config.mask_selection
        self.mask_other = config.mask_other

    def forward(
        self, x: Tensor, padding: Padding | None, uniforms: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """``x`` (B, T, D) -> the masked copy (B, T, D), and where (B, T) bool."""
        is_masked = self.draw(x.shape[0], x.shape[1], x.device, padding, uniforms)
        return self.fill(x, is_masked), is_masked

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
        """A fresh mask (B, T) bool; ``uniforms`` (B, 2T+1) in [0, 1), or torch's generator.

        Raises ValueError on uniforms of another shape or settings out of range.
        """
        expected = (batch, 2 * num_frames + 1)
        if uniforms is None:
            uniforms = torch.rand(expected, device=device)
        elif tuple(uniforms.shape) != expected:
            raise ValueError(
                f"mask_uniforms must be (batch, 2*frames+1) = {expected}, "
                f"got {tuple(uniforms.shape)}"
            )
        uniforms = uniforms.to(device)
        if padding is None:
            frames = torch.full((batch,), num_frames, device=device)
        else:
            frames = (~padding.is_pad).sum(1)
        check_settings(self.mask_prob, self.mask_length, self.mask_selection)
        count = span_counts(uniforms[:, 0], frames, self.mask_prob, self.mask_length)
        lengths = span_lengths(
            uniforms[:, num_frames + 1 :], self.mask_length, self.mask_selection, self.mask_other
        )
        return cover(uniforms[:, 1 : num_frames + 1], lengths, count, frames, self.mask_length)


def check_settings(prob: float, length: int, selection: str) -> None:
    """Refuse settings that a user may have assigned to a live masker."""
    if selection not in SELECTIONS:
        raise ValueError(f"mask_selection must be one of {', '.join(SELECTIONS)}: {selection!r}")
    if not prob >= 0:
        raise ValueError(f"mask_prob must be 0 or more, got {prob!r}")
    if int(length) != length or length < 1:
        raise ValueError(f"mask_length must be a whole number of frames, got {length!r}")


def span_counts(uniform: Tensor, frames: Tensor, prob: float, length: int) -> Tensor:
    """Spans (B,) for utterances of ``frames`` (B,): floor(p T / l + u), at least two."""
    if prob == 0:
        return torch.zeros_like(frames)
    count = (prob * frames / length + uniform).long()
    return torch.minimum(count.clamp(min=MIN_SPANS), frames)


def span_lengths(uniform: Tensor, length: int, selection: str, other: float) -> Tensor:
    """Span lengths in frames, int64, one for each number of ``uniform``."""
    if selection == "static":
        return torch.full_like(uniform, length, dtype=torch.long)
    if selection == "uniform":
        low = int(other)
        drawn = (uniform * (2 * length - low + 1)).long() + low
        return drawn.clamp(max=2 * length)
    if selection == "normal":
        tiny = 1e-6  # keeps the quantile function finite: +- 4.8 standard deviations
        quantile = torch.special.ndtri(uniform.float().clamp(tiny, 1 - tiny))
        return (length + other * quantile).round().long().clamp(min=1)
    return torch.searchsorted(
        poisson_cdf(length).to(uniform.device), uniform.contiguous(), right=True
    )


def poisson_cdf(mean: int) -> Tensor:
    """P(X <= k) for k = 0 .. mean + 10 standard deviations, fp32."""
    most = int(mean + 10 * math.sqrt(mean)) + 1
    k = torch.arange(most, dtype=torch.float64)
    log_p = k * math.log(mean) - mean - torch.lgamma(k + 1)
    return log_p.exp().cumsum(0).float()


def cover(order_key: Tensor, lengths: Tensor, count: Tensor, frames: Tensor, length: int) -> Tensor:
    """Lay ``count`` (B,) spans of ``lengths`` (B, T) at distinct random starts; (B, T) bool.

    ``order_key`` (B, T): the frames with the smallest keys are the starts.
    """
    batch, num_frames = order_key.shape
    position = torch.arange(num_frames, device=order_key.device)
    is_span = position < count[:, None]  # (B, T): column i stands for span i
    lengths = some_length(lengths, is_span, frames, length)
    shortest = lengths.masked_fill(~is_span, num_frames).amin(1)
    limit = frames - shortest  # starts lie below it
    limit = torch.where(limit <= count, count + 1, limit).clamp(min=1)
    limit = torch.minimum(limit, frames)
    key = order_key.masked_fill(position >= limit[:, None], 2.0)
    starts = key.argsort(dim=1)  # (B, T): distinct frames in random order
    ends = torch.minimum(starts + lengths, frames[:, None])
    delta = torch.zeros(batch, num_frames + 1, dtype=torch.long, device=order_key.device)
    delta.scatter_add_(1, starts, is_span.long())
    delta.scatter_add_(1, ends, -is_span.long())
    is_masked = delta.cumsum(1)[:, :num_frames] > 0
    return keep_one_visible(is_masked, order_key, frames)


def some_length(lengths: Tensor, is_span: Tensor, frames: Tensor, length: int) -> Tensor:
    """If every span of an utterance came out empty, give the first one some length."""
    longest = lengths.masked_fill(~is_span, 0).amax(1)
    first = torch.where(longest == 0, (frames - 1).clamp(max=length), lengths[:, 0])
    return torch.cat([first[:, None], lengths[:, 1:]], dim=1)


def keep_one_visible(is_masked: Tensor, order_key: Tensor, frames: Tensor) -> Tensor:
    """Uncover one random frame of an utterance that is masked from end to end."""
    position = torch.arange(is_masked.shape[1], device=is_masked.device)
    is_real = position < frames[:, None]
    chosen = order_key.masked_fill(~is_real, -1.0).argmax(1)  # (B,)
    is_all = is_masked.sum(1) == frames
    return is_masked & ~(is_all[:, None] & (position == chosen[:, None]))
