"""Real speech in several shards for ``bench tokens``.

``FOLDER/dump``: our shards and index. Beside it ``wav.scp`` and ``utt2num_samples`` for ESPnet,
which reads our shards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from espnet2.bench.data_audio import joined, speech
from espnet2.data.audio import content_hash, encode_flac
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.index import Index, IndexedUtterance, table_of, write_index
from espnet2.data.shards import Record, write_record

UTTERANCE_S = (2.0, 20.0)


@dataclass(frozen=True, kw_only=True)
class TokenSet:
    """Speech, as the sides are told of it."""

    folder: Path
    """Where it lies."""

    seconds: float
    """Audio in it."""

    utterances: int
    """Pieces of speech in it."""

    shards: int
    """Shards they lie in."""

    origin: str
    """Which speech it is, for the notes of a table."""

    name: str = "train"
    """Folder of its index in ``dump``."""

    @property
    def index(self) -> Path:
        """Its index."""
        return self.folder / "dump" / self.name / "index.arrow"


def make_set(folder: Path, dump: Path | None, seconds: float, shard_s: float) -> TokenSet:
    """Write ``seconds`` of speech in shards of ``shard_s`` under ``folder``; ``dump``: see speech.

    Raises ConfigError when there is no speech.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources, origin = speech(dump, folder, seconds)
    rows = list(write_shards(folder / "dump", joined(sources, seconds, UTTERANCE_S), shard_s))
    audio = TokenSet(
        folder=folder,
        seconds=sum(row.num_samples for row in rows) / SAMPLE_RATE_HZ,
        utterances=len(rows),
        shards=len({row.shard for row in rows}),
        origin=origin,
    )
    write_index(audio.index, table_of(rows))
    write_kaldi_files(folder, rows)
    return audio


def write_shards(
    dump: Path, pieces: Iterable[np.ndarray], shard_s: float
) -> Iterator[IndexedUtterance]:
    """Write (samples,) int16 pieces into arks of about ``shard_s`` seconds; their index rows."""
    (dump / "speech" / "shards").mkdir(parents=True)
    pieces, number, count = iter(pieces), 0, 0
    first = next(pieces, None)
    while first is not None:
        shard, have = f"speech/shards/{number:03d}.ark", 0
        with (dump / shard).open("wb") as ark:
            while first is not None and have < shard_s * SAMPLE_RATE_HZ:
                yield written(ark, shard, f"utt{count:06d}", first)
                have, count = have + len(first), count + 1
                first = next(pieces, None)
        number += 1


def written(ark: BinaryIO, shard: str, utt_id: str, samples: np.ndarray) -> IndexedUtterance:
    """Append an utterance to an open ark; its row."""
    record = write_record(ark, utt_id, encode_flac(samples))
    return IndexedUtterance(
        utt_id=utt_id, recording=utt_id, shard=shard, offset=record.offset, nbytes=record.nbytes,
        num_samples=len(samples), language="und", corpus="speech", speaker=utt_id,
        content_hash=content_hash(samples),
    )  # fmt: skip


def write_kaldi_files(folder: Path, rows: list[IndexedUtterance]) -> None:
    """The same audio as ESPnet is told of it."""
    scp, lengths = [], []
    for row in rows:
        at = Record(row.offset, row.nbytes).kaldi_offset
        scp.append(f"{row.utt_id} {folder / 'dump' / row.shard}:{at}\n")
        lengths.append(f"{row.utt_id} {row.num_samples}\n")
    (folder / "wav.scp").write_text("".join(scp), encoding="utf-8")
    (folder / "utt2num_samples").write_text("".join(lengths), encoding="utf-8")


def part_of(whole: TokenSet, seconds: float) -> TokenSet:
    """The first shards of a set, until they hold ``seconds``; an index beside the whole's."""
    opened, stop, shards, samples = Index.open(whole.index), 0, 0, 0
    for shard in opened.each_shard():
        if samples >= seconds * SAMPLE_RATE_HZ:
            break
        stop, shards = shard.rows.stop, shards + 1
        samples = int(opened.num_samples[:stop].sum(dtype=np.int64))
    part = dataclasses.replace(
        whole, name=f"train{shards}", seconds=samples / SAMPLE_RATE_HZ, utterances=stop,
        shards=shards,
    )  # fmt: skip
    write_index(part.index, opened.table.slice(0, stop).drop_columns("label_start"))
    return part
