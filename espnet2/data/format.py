"""Stage 2: a Kaldi directory becomes 16 kHz mono FLAC shards and an index.

Steps: split the utterances into shards by seconds of audio (``manifest.py``); decode, check and
store each shard on its own (`format_shard`); join the shards' indexes, dropping exact duplicates
(``merge.py``). The set of shards depends on the data and on ``shard_hours`` only.
"""

from pathlib import Path

from espnet2.data.audio import (
    Pcm,
    content_hash,
    encode_flac,
    level_dbfs,
    load_pcm,
    trim_edges,
)
from espnet2.data.config import FormatConfig
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.index import IndexedUtterance, table_of, write_index
from espnet2.data.shards import Record, write_record
from espnet2.data.tsv import Dropped, read_rows, write_dropped
from espnet2.utils.errors import DataError
from espnet2.utils.files import atomic_path


class Rejected(Exception):
    """An utterance that will not be stored; ``args`` are (reason, detail)."""


def format_shard(manifest: Path, corpus: str, config: FormatConfig) -> dict[str, int]:
    """Decode and store the utterances of one manifest.

    Writes NNN.ark, NNN.arrow and NNN.dropped.tsv beside it. Audio that cannot be used becomes a
    row of the last, never an error.
    """
    base = manifest.with_suffix("")
    kept, dropped, seen = [], [], {}
    shard = f"{corpus}/shards/{base.name}.ark"
    with atomic_path(base.with_suffix(".ark")) as part, part.open("wb") as ark:
        for row in read_rows(manifest):
            try:
                pcm = usable_pcm(row, config)
                digest = content_hash(pcm.samples)
                if digest in seen:
                    raise Rejected("duplicate", f"same audio as {seen[digest]}")
            except Rejected as error:
                dropped.append(Dropped(utt_id=row["utt_id"], reason=error.args[0],
                                       detail=error.args[1]))  # fmt: skip
                continue
            seen[digest] = row["utt_id"]
            record = write_record(ark, row["utt_id"], pcm.flac or encode_flac(pcm.samples))
            kept.append(indexed(row, shard, record, pcm, digest, corpus))
    write_dropped(base.with_suffix(".dropped.tsv"), dropped)
    write_index(base.with_suffix(".arrow"), table_of(kept))
    return {"kept": len(kept), "dropped": len(dropped)}


def usable_pcm(row: dict[str, str], config: FormatConfig) -> Pcm:
    """The audio of one manifest row, trimmed; raises Rejected with the reason."""
    try:
        end_s = float(row["end_s"]) if row["end_s"] else None
        pcm = load_pcm(row["source"], float(row["start_s"]), end_s)
    except OSError as error:
        raise Rejected("unreadable", f"{row['source']}: {error.strerror or error}") from None
    except DataError as error:
        raise Rejected("unreadable", str(error)) from None
    if config.trim_edges:
        samples = trim_edges(pcm.samples, config.trim_below_peak_db, config.trim_keep_s)
        pcm = pcm if len(samples) == len(pcm.samples) else Pcm(samples=samples, flac=None)
    seconds = len(pcm.samples) / SAMPLE_RATE_HZ
    if seconds < config.min_s:
        raise Rejected("too short", f"{seconds:.3f} s; at least {config.min_s:g} s are needed")
    if seconds > config.max_s:
        raise Rejected("too long", f"{seconds:.3f} s; at most {config.max_s:g} s are kept")
    level = level_dbfs(pcm.samples)
    if level < config.min_level_dbfs:
        raise Rejected("silent", f"{level:.1f} dBFS; at least {config.min_level_dbfs:g} is needed")
    return pcm


def indexed(
    row: dict[str, str], shard: str, record: Record, pcm: Pcm, digest: str, corpus: str
) -> IndexedUtterance:
    """The index row of a stored utterance."""
    return IndexedUtterance(
        utt_id=row["utt_id"], recording=row["recording"], shard=shard, offset=record.offset,
        nbytes=record.nbytes, num_samples=len(pcm.samples), language=row["language"],
        corpus=corpus, speaker=row["speaker"], content_hash=digest,
    )  # fmt: skip
