"""How fast stage 2 is on each kind of audio, and what bounds it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile
import soxr

from espnet2.bench.data_audio import joined, speech
from espnet2.bench.model import Answer, waited
from espnet2.bench.sides import Worker
from espnet2.bench.table import Table
from espnet2.data.audio import encode_flac
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.kaldi import Utterance, write_kaldi
from espnet2.utils.logs import log

WORKER = Path(__file__).with_name("format_worker.py")
AUDIO_S, TINY_AUDIO_S = 1800.0, 60.0
CD_RATE_HZ = 44100
RECORDING_S = 600.0  # of a recording that is cut at its pauses
SMALL_SHARE = 0.03  # parts below it are one with the rest


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of audio that comes in."""

    name: str
    """As a person calls it."""

    end: str
    """End of the file's name."""

    write: Callable[[Path, np.ndarray], None]
    """Writes (samples,) int16 at 16 kHz in this form."""

    config: dict[str, Any] = field(default_factory=dict)
    """Section ``format``, where it differs from the defaults."""

    is_long: bool = False
    """Recordings of minutes instead of utterances."""


def write_flac(path: Path, samples: np.ndarray) -> None:
    """16 kHz mono FLAC: what stage 2 passes through."""
    path.write_bytes(encode_flac(samples))


def write_wav(path: Path, samples: np.ndarray) -> None:
    """16 kHz mono WAV."""
    soundfile.write(path, samples, SAMPLE_RATE_HZ, subtype="PCM_16")


def write_cd(path: Path, samples: np.ndarray) -> None:
    """44.1 kHz stereo WAV."""
    one = soxr.resample(samples, SAMPLE_RATE_HZ, CD_RATE_HZ)
    soundfile.write(path, np.stack([one, one], axis=1), CD_RATE_HZ, subtype="PCM_16")


KINDS = (
    Kind(name="16 kHz FLAC, passed through", end=".flac", write=write_flac),
    Kind(name="16 kHz WAV", end=".wav", write=write_wav),
    Kind(name="44.1 kHz stereo WAV, resampled", end=".wav", write=write_cd),
    Kind(name="16 kHz WAV of 10 min, cut at pauses", end=".wav", write=write_wav,
         config={"vad_corpora": ["kind3"]}, is_long=True),
)  # fmt: skip


def format_tables(args: argparse.Namespace, scratch: Path) -> list[Table]:
    """Format every kind of audio ``args.rounds`` times and once under the profiler."""
    seconds = TINY_AUDIO_S if args.tiny else AUDIO_S
    sources, origin = speech(args.dump, scratch, seconds)
    pieces = list(joined(sources, seconds))
    seconds = sum(map(len, pieces)) / SAMPLE_RATE_HZ
    rows, answers = [], []
    with Worker(Path(sys.executable), True, scratch / "format.log", WORKER) as worker:
        for number, kind in enumerate(KINDS):
            log(f"format: {kind.name}")
            data = write_corpus(scratch / f"kind{number}", kind, pieces)
            call = {"data": str(data), "out": str(scratch / "dump" / data.name),
                    "config": kind.config}  # fmt: skip
            worker.ask("format", **call)  # what a first call pays for is no part of the speed
            timed = [worker.ask("format", **call) for _ in range(args.rounds)]
            rows.append(row(kind, seconds, timed, worker.ask("parts", **call)))
            answers.append(timed)
    table = Table(
        title=f"Formatting (stage 2){', tiny' if args.tiny else ''}: × real time a core",
        columns=("audio", "speed", "lowest to highest", "utterances", "where the time goes"),
        rows=tuple(rows),
        notes=(
            f"{seconds / 3600:.2f} h of each: {origin}, joined to utterances of 10 to 15 s. "
            f"Medians of {args.rounds} runs of the whole stage (sharing out, decoding, checks, "
            "hash, FLAC, shard, index, merge) in one process of one thread; the files had been "
            "read before, so the disk is not measured.",
            "Shares come from one more run under Python's profiler, which counts small calls "
            "for more than they cost.",
            f"The process waited for the processor in {waited(answers):.0%} of its time.",
        ),
    )
    return [table]


def write_corpus(folder: Path, kind: Kind, pieces: list[np.ndarray]) -> Path:
    """A Kaldi directory of ``pieces`` in the form of ``kind``, with its audio inside."""
    (folder / "audio").mkdir(parents=True)
    utterances = []
    for n, samples in enumerate(recordings(pieces) if kind.is_long else pieces):
        path = folder / "audio" / f"utt{n:06d}{kind.end}"
        kind.write(path, samples)
        utterances.append(
            Utterance(utt_id=path.stem, recording=path.stem, source=str(path), speaker=path.stem,
                      language="und")
        )  # fmt: skip
    write_kaldi(folder, utterances)
    return folder


def recordings(pieces: list[np.ndarray]) -> Iterator[np.ndarray]:
    """The pieces laid end to end and cut every ten minutes."""
    whole, step = np.concatenate(pieces), round(RECORDING_S * SAMPLE_RATE_HZ)
    for start in range(0, len(whole), step):
        yield whole[start : start + step]


def row(
    kind: Kind, seconds: float, answers: list[Answer], shares: dict[str, float]
) -> tuple[str, ...]:
    """Speed over the audio that went in, and the parts that take the most time."""
    speeds = [seconds / answer["seconds"][0] for answer in answers]
    large = {part: share for part, share in shares.items() if share >= SMALL_SHARE}
    large.pop("rest", None)
    parts = [f"{part} {share:.0%}" for part, share in
             sorted(large.items(), key=lambda item: -item[1])]  # fmt: skip
    return (
        kind.name,
        f"{median(speeds):,.0f} ×",
        f"{min(speeds):,.0f} to {max(speeds):,.0f}",
        f"{answers[0]['utterances']:,}",
        ", ".join([*parts, f"rest {1 - sum(large.values()):.0%}"]),
    )
