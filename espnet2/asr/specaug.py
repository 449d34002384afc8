"""SpecAugment (arXiv 1904.08779) from given random numbers, for a whole batch at once.

Shapes: B batch, T frames, P feature width, K random numbers of an utterance. The numbers come from
the batch, seeded by epoch and utterance, so no draw depends on order, device or workers.

The benchmark warps, masks bands and masks time on the mixed layers, then subtracts the mean and
projects. All but the bands work on frames alone, and the projection on widths alone: it may come
before the warp, which then moves 80 numbers a frame instead of the encoder's 1024.
"""

import torch
from torch import Tensor

from espnet2.asr.config import SpecAugConfig

CUBIC = -0.75  # the slope parameter of bicubic interpolation, as in torch


def num_uniforms(config: SpecAugConfig | None) -> int:
    """How many random numbers one utterance needs: 2 to warp, 2 a band, 2 a stretch of time."""
    return 0 if config is None else 2 + 2 * config.num_freq_mask + 2 * config.num_time_mask


def mask_bands(x: Tensor, uniforms: Tensor, config: SpecAugConfig) -> Tensor:
    """``x`` (B, T, P) with bands of its width set to zero, by ``uniforms`` (B, K) in [0, 1)."""
    freq = uniforms[:, 2 : 2 + 2 * config.num_freq_mask]
    full = x.new_full((len(x),), x.shape[2], dtype=torch.long)
    widest = torch.full_like(full, config.freq_mask_width)
    return x.masked_fill(in_stretches(x.shape[2], full, widest, freq)[:, None, :], 0.0)


def warp_and_mask_time(
    x: Tensor, lengths: Tensor, uniforms: Tensor, config: SpecAugConfig
) -> Tensor:
    """``x`` (B, T, P) warped along time, then with stretches of time set to zero."""
    if config.time_warp_window > 0:
        x = time_warp(x, lengths, uniforms[:, :2], config.time_warp_window)
    time = uniforms[:, 2 + 2 * config.num_freq_mask :]
    widest = (lengths.double() * config.time_mask_ratio).long()
    return x.masked_fill(in_stretches(x.shape[1], lengths, widest, time)[:, :, None], 0.0)


def in_stretches(size: int, total: Tensor, widest: Tensor, uniforms: Tensor) -> Tensor:
    """(B, size) True inside one of the stretches drawn from ``uniforms`` (B, 2 x stretches).

    Widths are drawn from 0 to below ``widest``, then starts that leave room in ``total`` (both
    (B,)) for the widest one drawn.
    """
    if not uniforms.shape[1]:
        return torch.zeros(len(uniforms), size, dtype=torch.bool, device=uniforms.device)
    width = (uniforms[:, 0::2] * widest[:, None]).long()
    room = (total - width.amax(dim=1)).clamp(min=1)
    start = (uniforms[:, 1::2] * room[:, None]).long()
    place = torch.arange(size, device=uniforms.device)
    inside = (place >= start[..., None]) & (place < (start + width)[..., None])
    return inside.any(dim=1)


def time_warp(x: Tensor, lengths: Tensor, uniforms: Tensor, window: int) -> Tensor:
    """Move a random frame by at most ``window`` frames and stretch both sides (bicubic).

    An utterance of at most ``2 * window`` frames, and what is past the end, stays as it is.
    """
    room = lengths - 2 * window
    centre = window + (uniforms[:, 0] * room.clamp(min=0)).long()
    moved = centre - window + 1 + (uniforms[:, 1] * 2 * window).long()
    frame = torch.arange(x.shape[1], device=x.device)  # (T,)
    is_left = frame < moved[:, None]
    is_kept = (room <= 0)[:, None] | (frame >= lengths[:, None])  # (B, T)
    left = (frame + 0.5) * (centre / moved.clamp(min=1))[:, None] - 0.5
    ratio = (lengths - centre) / (lengths - moved).clamp(min=1)
    right = centre[:, None] + (frame + 0.5 - moved[:, None]) * ratio[:, None] - 0.5
    source = torch.where(is_kept, frame.float(), torch.where(is_left, left, right))
    # Each side is interpolated alone: its first and last frame stand for what is beyond them.
    first = torch.where(is_left | is_kept, 0, centre[:, None])
    last = torch.where(is_left, centre[:, None], lengths[:, None]) - 1
    last = torch.where(is_kept, x.shape[1] - 1, last)
    low = source.floor().long()
    part = source - low
    shifts = ((-1, part + 1), (0, part), (1, 1 - part), (2, 2 - part))
    return sum(
        take(x, (low + shift).maximum(first).minimum(last)) * cubic(far)[..., None].to(x.dtype)
        for shift, far in shifts
    )


def cubic(far: Tensor) -> Tensor:
    """Weight of a neighbour ``far`` frames away, 0 to 2 (Keys 1981)."""
    near = ((CUBIC + 2) * far - (CUBIC + 3)) * far * far + 1
    beyond = ((CUBIC * far - 5 * CUBIC) * far + 8 * CUBIC) * far - 4 * CUBIC
    return torch.where(far <= 1, near, beyond)


def take(x: Tensor, frames: Tensor) -> Tensor:
    """Frames (B, T) of ``x`` (B, T, P)."""
    return x.gather(1, frames[..., None].expand(-1, -1, x.shape[2]))
