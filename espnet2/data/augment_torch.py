"""Noise and reverberation of a whole batch at once, on whatever device its tensors are.

``packed`` turns drawn mixtures and rooms into tensors that travel with the batch; ``augmented``
applies them. The result equals ``augment.augment`` row by row to within float32 rounding.
"""

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from espnet2.data.augment import (
    ACTIVITY_FRAME,
    ACTIVITY_HOP,
    ACTIVITY_SHARE,
    MIN_POWER,
    Mixture,
    Room,
)

TAPS_STEP = 4096  # rooms count as a multiple of it: few FFT sizes, so cuFFT's plans are kept

# Shapes: B rows, S samples, M rows with a mixture, L longest stretch, R rows in a room, K taps.


def packed(mixtures: list[Mixture | None], rooms: list[Room | None]) -> dict[str, Tensor]:
    """What was drawn for the rows of a batch, as tensors; nothing where nothing was drawn.

    mix_rows, mix_starts, mix_sizes (M,) int64, mix_snr_db (M,) float64, mix_noise (M, L) float32,
    room_rows, room_delays (R,) int64, room_rirs (R, K) float32; shorter ones padded with zeros.
    """
    mixed = [(row, mixture) for row, mixture in enumerate(mixtures) if mixture]
    wet = [(row, room) for row, room in enumerate(rooms) if room]
    batch = {}
    if mixed:
        batch |= {
            "mix_rows": torch.tensor([row for row, _ in mixed]),
            "mix_starts": torch.tensor([mixture.start for _, mixture in mixed]),
            "mix_sizes": torch.tensor([len(mixture.noise) for _, mixture in mixed]),
            "mix_snr_db": torch.tensor([m.snr_db for _, m in mixed], dtype=torch.float64),
            "mix_noise": padded([mixture.noise for _, mixture in mixed]),
        }
    if wet:
        batch |= {
            "room_rows": torch.tensor([row for row, _ in wet]),
            "room_delays": torch.tensor([room.delay for _, room in wet]),
            "room_rirs": padded([room.rir for _, room in wet]),
        }
    return batch


def padded(signals: list) -> Tensor:
    """(n, longest) float32: numpy signals with zeros after them."""
    batch = torch.zeros(len(signals), max(len(signal) for signal in signals))
    for row, signal in zip(batch.numpy(), signals, strict=True):
        row[: len(signal)] = signal
    return batch


@torch.no_grad()
def augmented(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The batch with what was packed into it applied to ``speech``; others come back as they are.

    Reads nothing back from the device, and never rounds below float32, whatever autocast says.
    """
    drawn = {key: value for key, value in batch.items() if key.startswith(("mix_", "room_"))}
    if not drawn:
        return batch
    speech = batch["speech"].clone()
    with torch.autocast(speech.device.type, enabled=False):
        if "mix_rows" in drawn:
            rows = drawn["mix_rows"]
            speech[rows] = mixed(
                speech[rows], drawn["mix_noise"], drawn["mix_sizes"], drawn["mix_starts"],
                drawn["mix_snr_db"],
            )  # fmt: skip
        if "room_rows" in drawn:
            rows = drawn["room_rows"]
            speech[rows] = reverberated(speech[rows], drawn["room_rirs"], drawn["room_delays"])
    kept = {key: value for key, value in batch.items() if key not in drawn}
    return {**kept, "speech": speech}


def speech_power(audio: Tensor) -> Tensor:
    """(M,) float64: mean square of the active samples of (M, S) audio; see augment.is_active.

    A frame decides about its first hop, so sums over hops are all that is needed.
    """
    samples = audio.shape[1]
    hops = -(-samples // ACTIVITY_HOP)
    squares = torch.nn.functional.pad(audio * audio, (0, hops * ACTIVITY_HOP - samples))
    power = squares.view(len(audio), hops, ACTIVITY_HOP).sum(dim=2, dtype=torch.float64)
    counts = torch.full((hops,), float(ACTIVITY_HOP), dtype=torch.float64, device=audio.device)
    counts[-1] = samples - (hops - 1) * ACTIVITY_HOP  # (hops,) samples of each hop
    if samples < ACTIVITY_FRAME:
        is_active = torch.ones_like(power)
    else:
        frames = -(-(samples - ACTIVITY_FRAME) // ACTIVITY_HOP) + 1
        following = torch.nn.functional.pad(power[:, 1:], (0, 1))
        frame_power = (power + following)[:, :frames]  # (M, frames)
        is_active = frame_power > ACTIVITY_SHARE * frame_power.mean(dim=1, keepdim=True)
        last = is_active[:, -1:].expand(-1, hops - frames)  # the tail follows the last frame
        is_active = torch.cat([is_active, last], dim=1).double()  # (M, hops)
    return (power * is_active).sum(dim=1) / (counts * is_active).sum(dim=1).clamp(min=1)


def mixed(audio: Tensor, noise: Tensor, sizes: Tensor, starts: Tensor, snr_db: Tensor) -> Tensor:
    """(M, S) float32: (M, L) stretches of noise added to (M, S) audio; see augment.mix."""
    power = noise.square().sum(dim=1, dtype=torch.float64) / sizes.clamp(min=1)
    scale = 10 ** (-snr_db / 20) * (speech_power(audio) / power.clamp(min=MIN_POWER)).sqrt()
    place = torch.arange(audio.shape[1], device=audio.device) - starts[:, None]  # (M, S)
    is_mixed = (place >= 0) & (place < sizes[:, None])
    added = noise.gather(1, place.clamp(0, noise.shape[1] - 1))
    return audio + torch.where(is_mixed, scale.float()[:, None] * added, 0.0)


def reverberated(audio: Tensor, rirs: Tensor, delays: Tensor) -> Tensor:
    """(R, S) float32: (R, S) audio heard in (R, K) rooms; see augment.reverberate."""
    samples = audio.shape[1]
    taps = -(-rirs.shape[1] // TAPS_STEP) * TAPS_STEP
    size = next_fast_len(samples + taps - 1, real=True)
    wet = torch.fft.irfft(torch.fft.rfft(audio, size) * torch.fft.rfft(rirs, size), size)
    place = torch.arange(samples, device=audio.device) + delays[:, None]  # (R, S), all < size
    wet = wet.gather(1, place)
    energy, wet_energy = (x.square().sum(dim=1, dtype=torch.float64) for x in (audio, wet))
    gain = (energy / wet_energy.clamp(min=1e-300)).sqrt().float()
    is_silent = wet_energy <= MIN_POWER * samples
    return torch.where(is_silent[:, None], audio, wet * gain[:, None])
