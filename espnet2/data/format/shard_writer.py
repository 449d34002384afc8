"""One shard of stage 2: its utterances are decoded, cut at pauses where asked, checked and stored.

One recording at a time is in memory.
"""

import functools
import math
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

from espnet2.data.audio import (
    Pcm,
    TooLong,
    content_hash,
    encode_flac,
    level_dbfs,
    load_pcm,
    trim_edges,
)
from espnet2.data.config import FormatConfig
from espnet2.data.format.vad import find_speech
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.index import IndexedUtterance, table_of, write_index
from espnet2.data.shards import write_record
from espnet2.data.sources import read_bytes
from espnet2.data.tsv import Dropped, read_rows, write_dropped
from espnet2.utils.errors import DataError
from espnet2.utils.files import atomic_path, sha256_file, write_json


class Rejected(Exception):
    """An utterance that will not be stored; ``args`` are (reason, detail)."""


def format_shard(manifest: Path, corpus: str, config: FormatConfig) -> dict[str, Any]:
    """Decode and store the utterances of one manifest; returns what went in and out.

    Writes NNN.ark, NNN.arrow, NNN.dropped.tsv and, last, NNN.summary.json beside it. Audio that
    cannot be used becomes a row of dropped.tsv, never an error.
    """
    base = manifest.with_suffix("")
    # The segments of a recording follow each other: the last one's bytes are kept.
    fetch = functools.partial(read_bytes, allow_pipes=config.allow_pipes)
    fetch = functools.lru_cache(maxsize=1)(fetch)
    with atomic_path(base.with_suffix(".ark")) as part, part.open("wb") as ark:
        shard = Shard(ark, f"{corpus}/shards/{base.name}.ark", corpus, config)
        for row in read_rows(manifest):
            shard.take(row, fetch)
    write_dropped(base.with_suffix(".dropped.tsv"), shard.dropped)
    write_index(base.with_suffix(".arrow"), table_of(shard.in_order()))
    summary = {**shard.totals(), "dropped_sha256": sha256_file(base.with_suffix(".dropped.tsv"))}
    write_json(base.with_suffix(".summary.json"), summary)
    return shard.totals()


class Shard:
    """The records of one shard, their index rows, and what was dropped."""

    def __init__(self, ark: BinaryIO, name: str, corpus: str, config: FormatConfig):
        self._ark, self._name, self._corpus, self._config = ark, name, corpus, config
        self.kept: list[IndexedUtterance] = []
        self.dropped: list[Dropped] = []
        self._seen: dict[str, str] = {}  # content hash -> utterance
        self._taken, self._seconds_in, self._samples_no_speech = 0, 0.0, 0

    def take(self, row: dict[str, str], fetch) -> None:
        """Store the utterance of a manifest row, or its stretches of speech; or note why not."""
        self._taken += 1
        try:
            pcm = self._load(row, fetch)
        except Rejected as error:
            self._drop(row["utt_id"], *error.args)
            return
        self._seconds_in += len(pcm.samples) / SAMPLE_RATE_HZ
        if self._is_cut(row):
            self._store_speech(row, pcm)
        else:
            self._store(row["utt_id"], row, pcm)

    def _is_cut(self, row: dict[str, str]) -> bool:
        """Whether the row is a whole recording of a corpus that is cut at pauses."""
        is_whole = float(row["start_s"]) == 0 and not row["end_s"]
        return is_whole and self._corpus in self._config.vad_corpora

    def _load(self, row: dict[str, str], fetch) -> Pcm:
        """The audio of a manifest row. Raises Rejected."""
        may_shrink = self._is_cut(row) or self._config.trim_edges
        longest_s = math.inf if may_shrink else self._config.max_s
        end_s = float(row["end_s"]) if row["end_s"] else None
        try:
            return load_pcm(row["source"], float(row["start_s"]), end_s, longest_s, fetch)
        except TooLong as error:
            self._seconds_in += error.seconds
            raise too_long(error.seconds, self._config.max_s) from None
        except OSError as error:
            detail = f"{row['source']}: {error.strerror or error}"
        except DataError as error:
            detail = str(error)
        self._seconds_in += float(row["seconds"])
        raise Rejected("unreadable", detail)

    def _store_speech(self, row: dict[str, str], pcm: Pcm) -> None:
        """Store the stretches of speech of a recording; what lies between them is counted."""
        spans = find_speech(pcm.samples, self._config.vad)
        self._samples_no_speech += len(pcm.samples) - sum(stop - start for start, stop in spans)
        if not spans:
            seconds = len(pcm.samples) / SAMPLE_RATE_HZ
            self._drop(row["utt_id"], "no speech", f"none found in {seconds:.3f} s")
        for start, stop in spans:
            part = Pcm(samples=pcm.samples[start:stop], flac=None)
            self._store(segment_id(row["utt_id"], start, stop), row, part)

    def _store(self, utt_id: str, row: dict[str, str], pcm: Pcm) -> None:
        """Append one utterance, or note why not."""
        try:
            pcm = usable(pcm, self._config)
            digest = content_hash(pcm.samples)
            if digest in self._seen:
                raise Rejected("duplicate", f"same audio as {self._seen[digest]}")
        except Rejected as error:
            self._drop(utt_id, *error.args)
            return
        self._seen[digest] = utt_id
        record = write_record(self._ark, utt_id, pcm.flac or encode_flac(pcm.samples))
        self.kept.append(
            IndexedUtterance(
                utt_id=utt_id, recording=row["recording"], shard=self._name, offset=record.offset,
                nbytes=record.nbytes, num_samples=len(pcm.samples), language=row["language"],
                corpus=self._corpus, speaker=row["speaker"], content_hash=digest,
            )
        )  # fmt: skip

    def _drop(self, utt_id: str, reason: str, detail: str) -> None:
        self.dropped.append(Dropped(utt_id=utt_id, reason=reason, detail=detail))

    def in_order(self) -> list[IndexedUtterance]:
        """The index rows in C order (segments of two recordings may be interleaved in it)."""
        return sorted(self.kept, key=lambda utterance: utterance.utt_id.encode())

    def totals(self) -> dict[str, Any]:
        """Utterances and hours: taken, found without speech, stored; and those dropped."""
        samples = sum(utterance.num_samples for utterance in self.kept)
        return {
            "utterances_in": self._taken,
            "hours_in": self._seconds_in / 3600,
            "hours_no_speech": self._samples_no_speech / SAMPLE_RATE_HZ / 3600,
            "utterances": len(self.kept),
            "hours": samples / SAMPLE_RATE_HZ / 3600,
            "dropped": dict(Counter(d.reason for d in self.dropped)),
        }


def segment_id(utt_id: str, start: int, stop: int) -> str:
    """Name of a stretch of samples, in milliseconds, so that C order is the order of time."""
    first_ms, last_ms = (round(1000 * edge / SAMPLE_RATE_HZ) for edge in (start, stop))
    return f"{utt_id}-{first_ms:08d}-{last_ms:08d}"


def usable(pcm: Pcm, config: FormatConfig) -> Pcm:
    """The audio of an utterance, trimmed if asked. Raises Rejected with the reason."""
    if config.trim_edges:
        samples = trim_edges(pcm.samples, config.trim_below_peak_db, config.trim_keep_s)
        pcm = pcm if len(samples) == len(pcm.samples) else Pcm(samples=samples, flac=None)
    seconds = len(pcm.samples) / SAMPLE_RATE_HZ
    if seconds < config.min_s:
        raise Rejected("too short", f"{seconds:.3f} s; at least {config.min_s:g} s are needed")
    if seconds > config.max_s:
        raise too_long(seconds, config.max_s)
    level = level_dbfs(pcm.samples)
    if level < config.min_level_dbfs:
        raise Rejected("silent", f"{level:.1f} dBFS; at least {config.min_level_dbfs:g} is needed")
    return pcm


def too_long(seconds: float, max_s: float) -> Rejected:
    """Why an utterance of ``seconds`` is not stored."""
    return Rejected("too long", f"{seconds:.3f} s; at most {max_s:g} s are kept")
