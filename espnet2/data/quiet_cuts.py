"""A recording too long for a model, cut at its quietest places; nothing of it is left out."""

import numpy as np

from espnet2.data.audio import to_int16
from espnet2.data.format.vad import QUIET_S, Stretch, cut, frame_energy
from espnet2.data.frames import SAMPLE_RATE_HZ

GRID_SAMPLES = SAMPLE_RATE_HZ // 100  # cuts lie on 10 ms
SHORTEST_LIMIT_S = 1.0  # below it there is no room to look for a quiet place


def quiet_cuts(audio: np.ndarray, max_s: float) -> list[Stretch]:
    """(start, stop) in samples of (samples,) float32 at 16 kHz: parts of at most ``max_s`` seconds.

    Each cut is in the middle half of what it divides, where 0.3 s around it have the least energy.
    """
    longest = int(max_s * SAMPLE_RATE_HZ / GRID_SAMPLES)
    count = len(audio) // GRID_SAMPLES
    if len(audio) <= longest * GRID_SAMPLES:
        return [(0, len(audio))]
    energy = frame_energy(to_int16(audio), GRID_SAMPLES)
    around = round(QUIET_S * SAMPLE_RATE_HZ / GRID_SAMPLES / 2)
    # One frame less than asked for: the last part also takes what fills no whole frame.
    parts = cut((0, count), energy, around, longest - 1)
    edges = [start * GRID_SAMPLES for start, _ in parts] + [len(audio)]
    return list(zip(edges[:-1], edges[1:], strict=True))
