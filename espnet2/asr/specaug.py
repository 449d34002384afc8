"""SpecAugment from given random numbers, for a whole batch at once.

Shapes: B batch, T frames, P feature width, K random numbers of an utterance. The numbers come from
the batch, seeded by epoch and utterance, so no draw depends on order, device or workers.
"""

import torch
from torch import Tensor

from espnet2.asr.config import SpecAugConfig


def num_uniforms(config: SpecAugConfig | None) -> int:
    """How many random numbers one utterance needs."""
    return 0 if config is None else 2 + 2 * config.num_freq_mask + 2 * config.num_time_mask


def spec_augment(x: Tensor, lengths: Tensor, uniforms: Tensor, config: SpecAugConfig) -> Tensor:
    """Warp and mask ``x`` (B, T, P) with ``uniforms`` (B, K) in [0, 1)."""
    warp, rest = uniforms[:, :2], uniforms[:, 2:]
    freq, time = rest.split([2 * config.num_freq_mask, 2 * config.num_time_mask], dim=1)
    if config.time_warp_window > 0:
        x = time_warp(x, lengths, warp, config.time_warp_window)
    full = torch.full_like(lengths, x.shape[2])
    widest = torch.full_like(lengths, config.freq_mask_width)
    in_band = in_stretches(x.shape[2], full, widest, freq)  # (B, P)
    longest = (lengths * config.time_mask_ratio).long() + 1
    in_time = in_stretches(x.shape[1], lengths, longest, time)  # (B, T)
    return x.masked_fill(in_band[:, None, :] | in_time[:, :, None], 0.0)


def in_stretches(size: int, total: Tensor, widest: Tensor, uniforms: Tensor) -> Tensor:
    """(B, size) True inside one of the stretches drawn from ``uniforms`` (B, 2 x stretches).

    A width is drawn from 0 .. ``widest`` - 1 (both (B,)), then a start that keeps it in ``total``.
    """
    width = (uniforms[:, 0::2] * widest[:, None]).long()
    start = (uniforms[:, 1::2] * (total[:, None] - width).clamp(min=1)).long()
    place = torch.arange(size, device=uniforms.device)
    inside = (place >= start[..., None]) & (place < (start + width)[..., None])
    return inside.any(dim=1)


def time_warp(x: Tensor, lengths: Tensor, uniforms: Tensor, window: int) -> Tensor:
    """Move a random frame by under ``window`` frames and stretch both sides linearly."""
    room = (lengths - 2 * window).clamp(min=0)
    centre = window + (uniforms[:, 0] * room).long()
    moved = centre + ((uniforms[:, 1] * 2 - 1) * window).long()
    frame = torch.arange(x.shape[1], device=x.device) + 0.5  # (T,) middles of frames
    left = frame * (centre / moved.clamp(min=1))[:, None]
    ratio = (lengths - centre) / (lengths - moved).clamp(min=1)
    right = centre[:, None] + (frame - moved[:, None]) * ratio[:, None]
    source = torch.where(frame < moved[:, None], left, right) - 0.5
    too_short = (room == 0)[:, None] | (frame > lengths[:, None])
    source = torch.where(too_short, frame - 0.5, source)
    last = (lengths - 1).clamp(min=0)[:, None].where(~too_short, torch.tensor(x.shape[1] - 1))
    source = source.clamp(min=0).minimum(last)
    low = source.floor().long()
    high = (low + 1).minimum(last)
    part = (source - low)[..., None].to(x.dtype)
    return take(x, low) * (1 - part) + take(x, high) * part


def take(x: Tensor, frames: Tensor) -> Tensor:
    """Frames (B, T) of ``x`` (B, T, P)."""
    return x.gather(1, frames[..., None].expand(-1, -1, x.shape[2]))
