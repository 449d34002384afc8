"""The noise bank: coloured noise, babble of the training set, and recorded noises.

Recordings come from a Kaldi directory that a recipe prepared, and from ``noise_dirs``.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from espnet2.data.audio import load_pcm, to_float
from espnet2.data.banks import Clip, write_bank
from espnet2.data.banks.audio import mono_stretches
from espnet2.data.banks.folders import BankFile, audio_files
from espnet2.data.config import BankConfig
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.index import Index
from espnet2.data.kaldi import read_kaldi
from espnet2.data.tsv import Dropped, write_dropped
from espnet2.utils.errors import DataError
from espnet2.utils.logs import log
from espnet2.utils.seeding import rng_for

LEVEL_RMS = 0.05  # of generated noises; mixing sets the level anyway
SILENT_RMS = 1e-4
SHORTEST_S = 0.1  # a recorded noise shorter than this is dropped
BROWNEST = 2.0  # power falls with frequency ** -2


class Voices(Protocol):
    """Speech to make babble of: an index, or anything that gives audio by row."""

    def __len__(self) -> int: ...

    def audio(self, row: int) -> np.ndarray:
        """(samples,) float32."""


def coloured(length: int, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """(length,) float32 noise whose power falls as frequency ** -exponent: 0 white, 2 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequency = np.maximum(np.arange(len(spectrum)), 1)
    return levelled(np.fft.irfft(spectrum * frequency ** (-exponent / 2), length))


def babble(speech: Voices, length: int, talkers: int, rng: np.random.Generator) -> np.ndarray:
    """(length,) float32: ``talkers`` random utterances at once, each at the same level."""
    total = np.zeros(length)
    for _ in range(talkers):
        parts, have = [], 0
        while have < length:
            parts.append(levelled(speech.audio(int(rng.integers(len(speech))))))
            have += len(parts[-1])
        total += np.concatenate(parts)[:length]
    return levelled(total)


def levelled(audio: np.ndarray) -> np.ndarray:
    """(samples,) float32 at the common level; silence stays silence."""
    rms = np.sqrt(np.mean(np.square(audio, dtype=np.float64)))
    return (audio * (LEVEL_RMS / max(rms, SILENT_RMS))).astype(np.float32)


def recorded(data: Path, longest: int, dropped: list[Dropped]) -> Iterator[Clip]:
    """Pieces of at most ``longest`` samples of the recordings of a Kaldi directory.

    What cannot be used is noted in ``dropped``.
    """
    for utterance in read_kaldi(data):
        try:
            pcm = load_pcm(utterance.source, utterance.start_s, utterance.end_s)
        except (OSError, DataError) as error:
            dropped.append(Dropped(utt_id=utterance.utt_id, reason="unreadable", detail=str(error)))
            continue
        audio = to_float(pcm.samples)
        pieces = [audio[start : start + longest] for start in range(0, len(audio), longest)]
        yield from usable(pieces, "recorded", utterance.utt_id, dropped)


def from_files(
    files: Iterable[BankFile], longest_s: float, dropped: list[Dropped]
) -> Iterator[Clip]:
    """Pieces of at most ``longest_s`` of audio files, read piece by piece.

    What cannot be used is noted in ``dropped``.
    """
    for file in files:
        try:
            yield from usable(mono_stretches(file.path, longest_s), file.kind, file.name, dropped)
        except DataError as error:
            dropped.append(Dropped(utt_id=file.name, reason="unreadable", detail=str(error)))


def usable(
    pieces: Iterable[np.ndarray], kind: str, name: str, dropped: list[Dropped]
) -> Iterator[Clip]:
    """The pieces (samples,) of a recording that are long and loud enough; dropped if none is."""
    used, samples = 0, 0
    for piece in pieces:
        samples += len(piece)
        if len(piece) >= SHORTEST_S * SAMPLE_RATE_HZ and piece.std() > SILENT_RMS:
            yield Clip(samples=piece, kind=kind)
            used += 1
    if not used:
        detail = f"{samples} samples"
        dropped.append(Dropped(utt_id=name, reason="silent or too short", detail=detail))


def write_noise(
    out: Path, config: BankConfig, seed: int, index_path: Path | None, recordings: Path | None
) -> dict[str, int]:
    """Write the bank of noises and its dropped.tsv; returns the clips of each kind."""
    dropped: list[Dropped] = []
    speech = Index.open(index_path) if config.num_babble and index_path else None
    count = write_bank(out, noises(config, seed, speech, recordings, dropped))
    write_dropped(out / "dropped.tsv", dropped)
    log(f"in: noise sources -> out: {count} noises; dropped: {len(dropped)} recordings")
    return {"noises": count, "dropped": len(dropped)}


def noises(
    config: BankConfig, seed: int, speech: Voices | None, recordings: Path | None,
    dropped: list[Dropped],
) -> Iterator[Clip]:  # fmt: skip
    """Coloured noises and babble of ``speech``, each from its own generator, then recordings."""
    length = round(config.noise_s * SAMPLE_RATE_HZ)
    for i in range(config.num_coloured):
        exponent = BROWNEST * i / max(config.num_coloured - 1, 1)
        yield Clip(
            samples=coloured(length, exponent, rng_for(seed, "coloured", i)), kind="coloured"
        )
    if config.num_babble and speech is not None:
        if not len(speech):
            raise DataError("there is no utterance to make babble of; set num_babble: 0")
        for i in range(config.num_babble):
            rng = rng_for(seed, "babble", i)
            yield Clip(samples=babble(speech, length, config.babble_voices, rng), kind="babble")
    if recordings:
        yield from recorded(recordings, length, dropped)
    files = audio_files(config.noise_dirs, "noise", config.musan_parts)
    yield from from_files(files, config.noise_s, dropped)
