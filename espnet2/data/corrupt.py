"""The test split as it is heard in noise and in rooms, what reverberate_data_dir does for Kaldi.

Banks of noises and rooms of their own (``write_banks``); each utterance gets a noise as long as
itself, then a room (``corrupt_part``); the parts become a Kaldi directory with the utterance ids
of the clean split (``join``). What an utterance gets is a function of (seed, split, utterance id):
tests that differ in SNR only have the same noises, in the same places and rooms.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from espnet2.data import kaldi
from espnet2.data.audio import encode_flac, load_pcm, to_float, to_int16
from espnet2.data.augment import Mixture, Room, augment
from espnet2.data.banks import Bank, write_bank
from espnet2.data.banks.noise import noises
from espnet2.data.banks.rirs import write_rirs
from espnet2.data.banks.rooms import write_rooms
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.kaldi import Utterance, iter_kaldi, read_kaldi, write_kaldi
from espnet2.data.kaldi.tables import entries
from espnet2.data.phones import TEXT_PHONES
from espnet2.data.shards import write_record
from espnet2.data.superb import CorruptConfig
from espnet2.data.tsv import Dropped, read_rows, write_dropped, write_rows
from espnet2.utils.errors import DataError
from espnet2.utils.files import atomic_path, write_json
from espnet2.utils.logs import log
from espnet2.utils.seeding import rng_for, seed_for

COLUMNS = ("utt_id", "noise", "snr_db", "room", "t60_s", "scale")
PART_COLUMNS = (*COLUMNS, "offset")
LOUDEST = 0.99  # peak of what would not fit into 16 bits
FIT_DB = (-5.0, -25.0)  # of the decay curve: T20 of ISO 3382, extrapolated to 60 dB


class Talkers:
    """A Kaldi directory as speech for babble."""

    def __init__(self, folder: Path):
        self.utterances = read_kaldi(folder)

    def __len__(self) -> int:
        return len(self.utterances)

    def audio(self, row: int) -> np.ndarray:
        """(samples,) float32 at 16 kHz."""
        return read_audio(self.utterances[row])


def read_audio(utterance: Utterance) -> np.ndarray:
    """(samples,) float32 in +-1 at 16 kHz."""
    return to_float(load_pcm(utterance.source, utterance.start_s, utterance.end_s).samples)


def write_banks(talkers: Path, config: CorruptConfig, out: Path) -> dict[str, int]:
    """Write ``out/noise`` and ``out/rirs``; returns how many there are.

    The seed is derived, so that no recipe's own banks are drawn from it.

    Raises:
        DataError: no noise, or no room, where one may be asked for.
    """
    seed = seed_for(config.seed, "corrupted")
    dropped: list[Dropped] = []
    speech = Talkers(talkers) if config.banks.num_babble else None
    count = write_bank(out / "noise", noises(config.banks, seed, speech, None, dropped))
    write_dropped(out / "noise" / "dropped.tsv", dropped)
    write = write_rirs if config.banks.rir_dirs else write_rooms
    rooms = write(out / "rirs", config.banks, seed)["rirs"]
    for name, prob, clips in (("noise", config.noise_prob, count), ("rir", config.rir_prob, rooms)):
        if prob and not clips:
            raise DataError(f"{out}: {name}_prob is {prob}, but banks leaves no {name}")
    log(f"banks of the corrupted test: {count} noises, {rooms} rooms")
    return {"noises": count, "rirs": rooms}


def reverberation_s(rir: np.ndarray) -> float:
    """Seconds in which a room's sound decays by 60 dB, measured on its response (taps,).

    A line through Schroeder's backward integral between -5 and -25 dB (ISO 3382, T20).
    """
    left = np.cumsum(np.square(rir, dtype=np.float64)[::-1])[::-1]
    level_db = 10 * np.log10(left / left[0] + 1e-30)
    first, last = (int(np.count_nonzero(level_db > bound)) for bound in FIT_DB)
    if last - first < 2:
        return 0.0  # hardly a room: the energy goes at once
    slope = np.polyfit(np.arange(first, last), level_db[first:last], 1)[0]
    return float(-60 / slope / SAMPLE_RATE_HZ)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What an utterance is heard in."""

    noise: int | None  # clip of the bank
    mixture: Mixture | None
    room_number: int | None
    room: Room | None


def draw_condition(
    utt_id: str, samples: int, config: CorruptConfig, noise: Bank, rirs: Bank
) -> Condition:
    """The noise and the room of a test utterance of so many samples."""
    rng = rng_for(config.seed, "corrupted noise", "test", utt_id)
    chance, place = rng.random(2)
    snr_db = float(rng.uniform(*config.noise_snr_db))
    number = mixture = None
    if chance < config.noise_prob:
        number = int(rng.integers(len(noise)))
        clip = noise[number]
        stretch = np.arange(samples) + int(place * len(clip))
        mixture = Mixture(noise=np.take(clip, stretch, mode="wrap"), snr_db=snr_db, start=0)
    rng = rng_for(config.seed, "corrupted room", "test", utt_id)
    chosen = room = None
    if rng.random() < config.rir_prob:
        chosen = int(rng.integers(len(rirs)))
        room = Room(rir=rirs[chosen], delay=int(rirs.delays[chosen]))
    return Condition(noise=number, mixture=mixture, room_number=chosen, room=room)


def fitted(audio: np.ndarray) -> tuple[np.ndarray, float]:
    """(samples,) int16, and the factor that kept the peak within 16 bits."""
    peak = float(np.abs(audio).max(initial=0.0))
    scale = LOUDEST / peak if peak > LOUDEST else 1.0
    return to_int16(audio * np.float32(scale)), scale


def corrupt_part(
    data: Path, first: int, last: int, config: CorruptConfig, banks: Path, out: Path
) -> int:
    """The utterances [first, last) of the Kaldi directory ``data`` into the ark ``out``.

    Beside it, as ``.tsv``, what each was heard in. Returns how many there are. Digital silence
    stays silence; what cannot be read stands in ``.dropped.tsv``.
    """
    noise, rirs = Bank.open(banks / "noise"), Bank.open(banks / "rirs")
    decay = [reverberation_s(rirs[i]) for i in range(len(rirs))]
    rows, dropped = [], []
    with atomic_path(out) as part, part.open("wb") as ark:
        for utterance in itertools.islice(iter_kaldi(data), first, last):
            try:
                audio = read_audio(utterance)
            except (OSError, DataError) as error:
                dropped.append(Dropped(utt_id=utterance.utt_id, reason="unreadable audio",
                                       detail=str(error)))  # fmt: skip
                continue
            heard = draw_condition(utterance.utt_id, len(audio), config, noise, rirs)
            if not audio.any():
                heard = Condition(noise=None, mixture=None, room_number=None, room=None)
            samples, scale = fitted(augment(audio, heard.mixture, heard.room))
            record = write_record(ark, utterance.utt_id, encode_flac(samples))
            rows.append((*condition_row(utterance.utt_id, heard, decay, scale),
                         record.kaldi_offset))  # fmt: skip
    write_rows(out.with_suffix(".tsv"), PART_COLUMNS, rows)
    write_dropped(out.with_suffix(".dropped.tsv"), dropped)
    return len(rows)


def condition_row(
    utt_id: str, heard: Condition, decay: Sequence[float], scale: float
) -> tuple[str | int, ...]:
    """A row of conditions.tsv; what an utterance did not get stays empty."""
    noise = ("", "") if heard.mixture is None else (heard.noise, f"{heard.mixture.snr_db:.2f}")
    number = heard.room_number
    room = ("", "") if number is None else (number, f"{decay[number]:.3f}")
    return (utt_id, *noise, *room, f"{scale:.4f}")


def join(data: Path, parts: list[Path], banks: Path, out: Path) -> dict[str, Any]:
    """The Kaldi directory ``out``: utterances, texts and languages of ``data``, other audio.

    ``conditions.tsv`` beside it says what each utterance is heard in, ``conditions.json`` the
    ranges. What could not be read keeps its source, so that the same utterances are scored.
    """
    found = {row["utt_id"]: (part, row) for part in parts for row in read_rows(part_table(part))}
    write_kaldi(out, moved(data, found))
    corpora = {entry.key: entry.value for entry in entries(data / "utt2corpus")}
    kaldi.write_table(out / "utt2corpus", corpora)
    if (data / TEXT_PHONES).is_file():
        phones = {entry.key: entry.value for entry in entries(data / TEXT_PHONES)}
        kaldi.write_table(out / TEXT_PHONES, phones)
    rows = [found[utt_id][1] for utt_id in sorted(found)]
    write_rows(out / "conditions.tsv", COLUMNS, ([row[c] for c in COLUMNS] for row in rows))
    unreadable = [
        Dropped(**row) for part in parts for row in read_rows(part.with_suffix(".dropped.tsv"))
    ]
    write_dropped(out / "dropped.tsv", unreadable)
    facts = {
        "utterances": len(rows),
        "snr_db": spread([float(row["snr_db"]) for row in rows if row["snr_db"]]),
        "t60_s": spread([float(row["t60_s"]) for row in rows if row["t60_s"]]),
        "noises": Bank.open(banks / "noise").kinds,
        "rooms": Bank.open(banks / "rirs").kinds,
    }
    write_json(out / "conditions.json", facts)
    log(
        f"{out}: in: {len(rows) + len(unreadable)} utts -> out: {len(rows)} utts, "
        f"{said(facts)}; dropped: {len(unreadable)} unreadable"
    )
    return facts


def part_table(ark: Path) -> Path:
    """What the utterances of an ark are heard in."""
    return ark.with_suffix(".tsv")


def moved(data: Path, found: dict[str, tuple[Path, dict[str, str]]]) -> Iterator[Utterance]:
    """The utterances of ``data`` with their new audio, in its order."""
    for utterance in iter_kaldi(data):
        if utterance.utt_id in found:
            ark, row = found[utterance.utt_id]
            source = f"{ark.absolute()}:{row['offset']}"
            utterance = replace(
                utterance, recording=utterance.utt_id, source=source, start_s=0.0, end_s=None
            )
        yield utterance


def spread(values: list[float]) -> dict[str, float] | None:
    """How many, lowest, mean and highest; None of nothing."""
    if not values:
        return None
    return {
        "utterances": len(values), "min": min(values), "max": max(values),
        "mean": round(float(np.mean(values)), 3),
    }  # fmt: skip


def said(facts: dict[str, Any]) -> str:
    """``noise at 0.1 to 14.9 dB (mean 7.4), rooms of T60 0.20 to 0.61 s (mean 0.41)``."""
    snr, t60 = facts["snr_db"], facts["t60_s"]
    parts = []
    if snr:
        parts.append("noise at {min:.1f} to {max:.1f} dB (mean {mean:.1f})".format(**snr))
    if t60:
        parts.append("rooms of T60 {min:.2f} to {max:.2f} s (mean {mean:.2f})".format(**t60))
    return ", ".join(parts) or "as clean as before"
