"""Impulse responses of shoebox rooms by the image-source method, in plain numpy.

Allen and Berkley, 1979: a wall reflects as if the source were mirrored behind it. Every image
within reach adds one tap, delayed by its distance and damped by the walls it was mirrored in.
As they do, a high pass at 100 Hz takes out the slow swell of so many taps of one sign.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.signal import butter, lfilter

from espnet2.data.augment import direct_path
from espnet2.data.banks import Clip, write_bank
from espnet2.data.config import BankConfig
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.utils.logs import log
from espnet2.utils.seeding import rng_for

SPEED_OF_SOUND_M_S = 343.0
WALL_DISTANCE_M = 0.5  # nearest that source and microphone come to a wall
MIN_DISTANCE_M = 0.3  # between source and microphone
MAX_TRIES = 100
HIGH_PASS = butter(2, 100, "highpass", fs=SAMPLE_RATE_HZ)  # (numerator, denominator)


def room_response(
    room: np.ndarray, source: np.ndarray, microphone: np.ndarray, t60_s: float, length_s: float
) -> np.ndarray:
    """(taps,) float32 impulse response of a room, its direct path scaled to 1.

    room: (3,) sides in metres; source, microphone: (3,) positions in it; t60_s: time in which
    the sound decays by 60 dB (Eyring's formula gives the walls' absorption).
    """
    reach = SPEED_OF_SOUND_M_S * min(length_s, t60_s)  # metres; later images are 60 dB down
    surface = 2 * (room[0] * room[1] + room[1] * room[2] + room[2] * room[0])
    # Eyring: t60 = 24 ln(10) V / (-c S ln(1 - a)), so ln(1 - a) follows; energy 1 - a a wall.
    log_energy = -24 * np.log(10) * room.prod() / (SPEED_OF_SOUND_M_S * surface * t60_s)
    axes = [mirror(room[i], source[i], microphone[i], reach) for i in range(3)]
    square, order = axes[0]
    for other_square, other_order in axes[1:]:
        total = square[:, None] + other_square[None, :]  # (images so far, images of the axis)
        near = total < reach**2
        order = (order[:, None] + other_order[None, :])[near]
        square = total[near]
    distance = np.sqrt(square)  # (images,)
    taps = np.rint(distance / SPEED_OF_SOUND_M_S * SAMPLE_RATE_HZ).astype(np.int64)
    response = np.bincount(taps, weights=np.exp(order * log_energy / 2) / distance)
    response = lfilter(*HIGH_PASS, response)
    return (response / response[taps.min()]).astype(np.float32)


def mirror(
    side: float, source: float, microphone: float, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Images along one axis: squared distance to the microphone, and number of reflections."""
    count = int(np.ceil(reach / (2 * side))) + 1
    n = np.arange(-count, count + 1)
    offsets = np.concatenate([2 * n * side + source, 2 * n * side - source]) - microphone
    reflections = np.concatenate([np.abs(2 * n), np.abs(2 * n - 1)])
    near = np.abs(offsets) < reach
    return offsets[near] ** 2, reflections[near].astype(np.float64)


def random_response(config: BankConfig, rng: np.random.Generator) -> np.ndarray:
    """(taps,) response of a random room whose direct path is its largest tap."""
    for _ in range(MAX_TRIES):
        floor = rng.uniform(*config.room_m, 2)
        room = np.array([*floor, rng.uniform(*config.height_m)])
        source, microphone = (rng.uniform(WALL_DISTANCE_M, room - WALL_DISTANCE_M) for _ in "sm")
        t60_s = rng.uniform(*config.t60_s)
        distance = np.linalg.norm(source - microphone)
        if distance < MIN_DISTANCE_M:
            continue
        response = room_response(room, source, microphone, t60_s, config.rir_s)
        if direct_path(response) == round(distance / SPEED_OF_SOUND_M_S * SAMPLE_RATE_HZ):
            return response
    raise ValueError(f"no room with a clear direct path in {MAX_TRIES} tries; make t60_s shorter")


def simulate(config: BankConfig, seed: int) -> Iterator[Clip]:
    """``num_rirs`` rooms, each from its own generator."""
    for i in range(config.num_rirs):
        yield Clip(samples=random_response(config, rng_for(seed, "room", i)), kind="shoebox")


def write_rirs(out: Path, config: BankConfig, seed: int) -> dict[str, int]:
    """Write the bank of impulse responses."""
    count = write_bank(out, simulate(config, seed))
    log(f"in: {count} rooms -> out: {count} impulse responses; dropped: none")
    return {"rirs": count}
