"""Impulse responses of simulated rooms: image-source method of pyroomacoustics, shoebox rooms."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyroomacoustics

from espnet2.data.augment import direct_path
from espnet2.data.banks import Clip, write_bank
from espnet2.data.banks.rirs import trimmed
from espnet2.data.config import BankConfig
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.tsv import write_dropped
from espnet2.utils.errors import ConfigError
from espnet2.utils.logs import log
from espnet2.utils.seeding import rng_for

WALL_DISTANCE_M = 0.5  # nearest that source and microphone come to a wall
MIN_DISTANCE_M = 0.3  # between source and microphone
MAX_TRIES = 100


def room_response(
    room: np.ndarray, source: np.ndarray, microphone: np.ndarray, t60_s: float
) -> np.ndarray:
    """(taps,) float64 impulse response of a room.

    room: (3,) sides in metres; source, microphone: (3,) positions in it; t60_s: time in which the
    sound decays by 60 dB by Sabine's formula. Raises ValueError for a room so large that no walls
    make it decay so fast. The library delays every response by half its 81-tap filter.
    """
    # Threads add up in another order, and the last bits would depend on their number.
    pyroomacoustics.constants.set("num_threads", 1)
    absorption, max_order = pyroomacoustics.inverse_sabine(t60_s, room)
    shoebox = pyroomacoustics.ShoeBox(
        room,
        fs=SAMPLE_RATE_HZ,
        materials=pyroomacoustics.Material(absorption),
        max_order=max_order,
    )
    shoebox.add_source(source)
    shoebox.add_microphone(microphone)
    shoebox.compute_rir()
    return shoebox.rir[0][0]


def travel_samples(distance_m: float) -> float:
    """Sample of the direct path in a response of ``room_response``."""
    filter_delay = pyroomacoustics.constants.get("frac_delay_length") // 2
    return distance_m / pyroomacoustics.constants.get("c") * SAMPLE_RATE_HZ + filter_delay


def random_response(config: BankConfig, rng: np.random.Generator) -> np.ndarray:
    """(taps,) response of a random room whose direct path is its largest tap.

    Raises ConfigError when the ranges of sizes and times leave no such room.
    """
    for _ in range(MAX_TRIES):
        floor = rng.uniform(*config.room_m, 2)
        room = np.array([*floor, rng.uniform(*config.height_m)])
        source, microphone = (rng.uniform(WALL_DISTANCE_M, room - WALL_DISTANCE_M) for _ in "sm")
        t60_s = rng.uniform(*config.t60_s)
        distance = float(np.linalg.norm(source - microphone))
        if distance < MIN_DISTANCE_M:
            continue
        try:
            response = room_response(room, source, microphone, t60_s)
        except ValueError:  # no walls absorb enough for this size and time
            continue
        if abs(direct_path(response) - travel_samples(distance)) <= 1:
            return trimmed(response, config.rir_s)
    raise ConfigError(
        f"augment: none of {MAX_TRIES} random rooms decays in t60_s {config.t60_s} with a clear "
        f"direct path; widen t60_s, or make room_m and height_m smaller"
    )


def simulate(config: BankConfig, seed: int) -> Iterator[Clip]:
    """``num_rirs`` rooms, each from its own generator."""
    for i in range(config.num_rirs):
        yield Clip(samples=random_response(config, rng_for(seed, "room", i)), kind="shoebox")


def write_rooms(out: Path, config: BankConfig, seed: int) -> dict[str, int]:
    """Write a bank of simulated rooms; its dropped.tsv is empty."""
    count = write_bank(out, simulate(config, seed))
    write_dropped(out / "dropped.tsv", [])
    log(f"in: {count} rooms -> out: {count} impulse responses; dropped: none")
    return {"rirs": count}
