"""One set of real speech in the forms that each side of ``bench data`` reads.

``FOLDER/dump``: our shards, index, labels, plan and banks. Beside them ``wav.scp``, ``text``,
``shape``, ``noise.scp`` and ``rirs.scp`` for ESPnet, which reads our shards; ``flac/`` for lhotse,
which makes its Shar of them; ``noise/`` and ``rirs/`` with the clips of our banks as WAV files.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from espnet2.data.audio import content_hash, encode_flac, load_pcm
from espnet2.data.banks import Bank
from espnet2.data.banks.noise import write_noise
from espnet2.data.banks.rooms import write_rooms
from espnet2.data.config import BankConfig, PlanConfig
from espnet2.data.frames import SAMPLE_RATE_HZ, num_frames
from espnet2.data.index import Index, IndexedUtterance, table_of, write_index
from espnet2.data.labels import LabelsInfo, write_info, write_labels
from espnet2.data.plan import build_plan
from espnet2.data.shards import Record, write_record
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.files import write_json
from espnet2.utils.provenance import REPOSITORY
from espnet2.utils.seeding import rng_for

SEED = 0
UTTERANCE_S = (10.0, 15.0)  # of the benchmark's utterances, joined from shorter ones
BATCH_S = 100.0  # audio of a batch: 1,600,000 samples, what XEUS gives a GPU
CLUSTERS = 2048
SHARD = "speech/shards/000.ark"
MINI_DUMP = REPOSITORY / "egs2" / "mini" / "ssl1" / "dump"
VOICES = ("en", "de", "fr", "es", "it", "pl", "tr", "sw")
SENTENCES = (
    "The quick brown fox jumps over the lazy dog, and nobody in the village minds it any more.",
    "One hundred and twenty thousand kilometres of railway were laid before the winter came.",
    "She reads the letter twice, folds it, and puts it back where nobody will look for it.",
    "Rain is expected in the north this evening; tomorrow will be dry with a light wind.",
)


@dataclass(frozen=True, kw_only=True)
class AudioSet:
    """The set, as the sides are told of it."""

    folder: Path
    """Where it lies."""

    seconds: float
    """Audio in it."""

    utterances: int
    """Pieces of speech in it."""

    origin: str
    """Which speech it is, for the notes of a table."""


def make_set(folder: Path, dump: Path | None, seconds: float, bank: BankConfig) -> AudioSet:
    """Write a set of ``seconds`` of speech under ``folder``, which must be empty.

    dump: see :func:`speech`.
    """
    sources, origin = speech(dump, folder, seconds)
    pieces = list(joined(sources, seconds))
    rows = write_shard(folder, pieces)
    write_ours(folder / "dump", rows, bank)
    write_for_peers(folder, rows, pieces)
    total_s = sum(map(len, pieces)) / SAMPLE_RATE_HZ
    return AudioSet(folder=folder, seconds=total_s, utterances=len(pieces), origin=origin)


def speech(dump: Path | None, folder: Path, seconds: float) -> tuple[Iterator[str], str]:
    """Endless addresses of speech, and whose it is.

    dump: folder whose subfolders hold wav.scp; None: the mini recipe's, or else synthetic voices,
    spoken into ``folder``. Raises ConfigError when there is no speech in it, or no synthesizer.
    """
    if dump is None and not any(MINI_DUMP.glob("*/wav.scp")):
        return spoken(folder / "spoken", seconds), "eSpeak NG's voices"
    dump = MINI_DUMP if dump is None else dump
    whose = "the mini recipe" if dump == MINI_DUMP else str(dump)
    return recorded(dump), f"speech of {whose} ({', '.join(corpora(dump))})"


def corpora(dump: Path) -> list[str]:
    """Names of the formatted corpora in a dump folder."""
    return sorted(path.parent.name for path in dump.glob("*/wav.scp"))


def recorded(dump: Path) -> Iterator[str]:
    """Addresses of the speech in a dump folder, in random order, again and again.

    Raises ConfigError when there is none.
    """
    lines = [
        line
        for name in corpora(dump)
        for line in (dump / name / "wav.scp").read_text(encoding="utf-8").splitlines()
    ]
    if not lines:
        raise ConfigError(
            f"{dump}: no <corpus>/wav.scp in it; give --dump the dump folder of a recipe whose "
            "stage 2 is done"
        )
    sources = [line.split(maxsplit=1)[1] for line in sorted(lines)]
    order = rng_for(SEED, "speech").permutation(len(sources))
    while True:
        yield from (sources[i] for i in order)


def spoken(folder: Path, seconds: float) -> Iterator[str]:
    """Synthetic speech as WAV files: every sentence by every voice, again and again."""
    folder.mkdir(parents=True)
    lines = [
        {"utt_id": f"{voice}-{n}-{rate}", "text": text, "voice": voice, "rate_wpm": rate,
         "pitch": 50, "seed": n}
        for rate in (130, 160, 190) for voice in VOICES for n, text in enumerate(SENTENCES)
    ][: max(4, int(seconds / 4))]  # fmt: skip
    job = {"folder": str(folder / "wav"), "phones": str(folder / "phones.ctm"), "lines": lines}
    write_json(folder / "job.json", job)
    command = [sys.executable, "-m", "espnet2.data.corpora.espeak", str(folder / "job.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ConfigError(
            f"no speech to measure with: {reason}; pip install 'xeus[recipe]', or give --dump"
        )
    while True:
        yield from (str(path) for path in sorted((folder / "wav").iterdir()))


def joined(
    sources: Iterable[str], seconds: float, lengths_s: tuple[float, float] = UTTERANCE_S
) -> Iterator[np.ndarray]:
    """(samples,) int16 utterances of such lengths, each of several sources laid end to end."""
    rng, sources, have = rng_for(SEED, "lengths"), iter(sources), 0
    while have < seconds * SAMPLE_RATE_HZ:
        length = round(rng.uniform(*lengths_s) * SAMPLE_RATE_HZ)
        parts: list[np.ndarray] = []
        while sum(map(len, parts)) < length:
            parts.append(readable(next(sources)))
        yield np.concatenate(parts)[:length]
        have += length


def readable(source: str) -> np.ndarray:
    """(samples,) int16. Raises ConfigError when the dump does not hold what its wav.scp says."""
    try:
        return load_pcm(source).samples
    except (OSError, DataError) as error:
        raise ConfigError(f"{error}; run stage 2 of that recipe again, or give --dump") from None


def write_shard(folder: Path, pieces: list[np.ndarray]) -> list[IndexedUtterance]:
    """One ark of FLAC records, and each record also as a file of its own."""
    ark_path = folder / "dump" / SHARD
    ark_path.parent.mkdir(parents=True)
    (folder / "flac").mkdir()
    rows = []
    with ark_path.open("wb") as ark:
        for n, samples in enumerate(pieces):
            utt_id, flac = f"utt{n:06d}", encode_flac(samples)
            (folder / "flac" / f"{utt_id}.flac").write_bytes(flac)
            record = write_record(ark, utt_id, flac)
            rows.append(
                IndexedUtterance(
                    utt_id=utt_id, recording=utt_id, shard=SHARD, offset=record.offset,
                    nbytes=record.nbytes, num_samples=len(samples), language="und",
                    corpus="speech", speaker=utt_id, content_hash=content_hash(samples),
                )
            )  # fmt: skip
    return rows


def write_ours(dump: Path, rows: list[IndexedUtterance], bank: BankConfig) -> None:
    """Index, random labels, plan and banks."""
    index = dump / "train" / "index.arrow"
    write_index(index, table_of(rows))
    frames = sum(num_frames(row.num_samples) for row in rows)
    ids = rng_for(SEED, "labels").integers(CLUSTERS, size=frames)
    labels = dump / "train" / "labels"
    write_labels(labels / f"{SHARD.replace('/', '.')}.u16", ids)
    write_info(
        labels,
        LabelsInfo(num_clusters=CLUSTERS, teacher="random", layer=0, codebook_sha256="",
                   index_sha256=Index.open(index).fingerprint),
    )  # fmt: skip
    plan = PlanConfig(batch_bins=round(BATCH_S * SAMPLE_RATE_HZ))
    build_plan(index, dump / "train" / "plan", plan, SEED)
    write_noise(dump / "noise", bank, SEED, index, None)
    write_rooms(dump / "rirs", bank, SEED)


def write_for_peers(folder: Path, rows: list[IndexedUtterance], pieces: list[np.ndarray]) -> None:
    """Kaldi files for the audio, and the clips of our banks as WAV files with their lists."""
    ark, rng = folder / "dump" / SHARD, rng_for(SEED, "labels")
    lines: dict[str, list[str]] = {"wav.scp": [], "text": [], "shape": []}
    for row in rows:
        at = Record(row.offset, row.nbytes).kaldi_offset
        ids = rng.integers(CLUSTERS, size=num_frames(row.num_samples))
        lines["wav.scp"].append(f"{row.utt_id} {ark}:{at}")
        lines["text"].append(f"{row.utt_id} {' '.join(map(str, ids))}")
        lines["shape"].append(f"{row.utt_id} {row.num_samples}")
    for name, text in lines.items():
        (folder / name).write_text("\n".join(text) + "\n", encoding="utf-8")
    for kind in ("noise", "rirs"):
        write_bank_for_peers(folder, kind)


def write_bank_for_peers(folder: Path, kind: str) -> None:
    """The clips of ``dump/KIND`` as WAV files, and KIND.scp with their addresses."""
    (folder / kind).mkdir()
    bank, lines = Bank.open(folder / "dump" / kind), []
    for i in range(len(bank)):
        path = folder / kind / f"{i:04d}.wav"
        soundfile.write(path, bank[i], SAMPLE_RATE_HZ, subtype="FLOAT")
        lines.append(f"{path.stem} {path}\n")
    (folder / f"{kind}.scp").write_text("".join(lines), encoding="utf-8")


def few_clips(bank: BankConfig) -> BankConfig:
    """A bank for a trial."""
    return dataclasses.replace(bank, num_coloured=2, num_babble=2, num_rirs=4)
