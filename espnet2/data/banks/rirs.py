"""The bank of impulse responses, from recordings or simulations that are given as files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from espnet2.data.augment import direct_path
from espnet2.data.banks import Clip, write_bank
from espnet2.data.banks.audio import one_channel
from espnet2.data.banks.folders import BankFile, audio_files
from espnet2.data.config import BankConfig
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.tsv import Dropped, write_dropped
from espnet2.utils.errors import DataError
from espnet2.utils.logs import log
from espnet2.utils.seeding import rng_for

DECAYED = 1e-6  # of the energy: what is left 60 dB below is cut off
SHORTEST = 16  # taps; less is no room
QUIETEST = 1e-5  # largest magnitude of a response that is not silent
LONGEST_READ_S = 60.0  # of a file; a response is far shorter, a folder given by mistake may not be


def trimmed(response: np.ndarray, longest_s: float) -> np.ndarray:
    """(taps,) float32: the direct path scaled to magnitude 1, the decayed tail cut off.

    Cut where 60 dB of the energy is gone, at the latest ``longest_s`` after the direct path. The
    silence before the direct path stays: its length is the delay.
    """
    energy = np.square(response, dtype=np.float64)
    left = np.cumsum(energy[::-1])[::-1]  # energy from here to the end
    end = int(np.count_nonzero(left > DECAYED * left[0]))
    delay = direct_path(response)
    end = min(end, delay + 1 + round(longest_s * SAMPLE_RATE_HZ))
    return (response[:end] / np.abs(response[delay])).astype(np.float32)


def responses(
    files: Iterator[BankFile], config: BankConfig, seed: int, dropped: list[Dropped]
) -> Iterator[Clip]:
    """One channel of each file; what cannot be used is noted in ``dropped``."""
    for file in files:
        rng = rng_for(seed, "rir channel", file.name)
        try:
            response = one_channel(file.path, rng, LONGEST_READ_S)
        except DataError as error:
            dropped.append(Dropped(utt_id=file.name, reason="unreadable", detail=str(error)))
            continue
        loudest = np.abs(response).max(initial=0.0)
        reason = "too short" if len(response) < SHORTEST else "silent"
        if len(response) < SHORTEST or loudest < QUIETEST:
            detail = f"{len(response)} taps, largest {loudest:.1e}"
            dropped.append(Dropped(utt_id=file.name, reason=reason, detail=detail))
            continue
        yield Clip(samples=trimmed(response, config.rir_s), kind=file.kind)


def write_rirs(out: Path, config: BankConfig, seed: int) -> dict[str, int]:
    """Write the bank of the folders in ``config.rir_dirs``, and its dropped.tsv.

    Raises DataError when no file of them can be used.
    """
    dropped: list[Dropped] = []
    files = audio_files(config.rir_dirs, "rir", config.musan_parts)
    count = write_bank(out, responses(files, config, seed, dropped))
    write_dropped(out / "dropped.tsv", dropped)
    log(f"in: {count + len(dropped)} files -> out: {count} rooms; dropped: {len(dropped)}")
    if not count:
        raise DataError(f"no usable impulse response; {out / 'dropped.tsv'} says why")
    return {"rirs": count, "dropped": len(dropped)}
