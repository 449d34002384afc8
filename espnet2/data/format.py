"""Stage 2: a Kaldi directory becomes 16 kHz mono FLAC shards and an index.

Steps: split the utterances into shards by seconds of audio (``manifest.py``); decode, check and
store each shard on its own (`format_shard`); join the shards' indexes, dropping exact duplicates
(`merge_corpus`). The set of shards depends on the data and on ``shard_hours`` only.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

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
from espnet2.data.index import Index, IndexedUtterance, table_of, write_index
from espnet2.data.kaldi import write_table
from espnet2.data.shards import Record, write_record
from espnet2.data.tsv import Dropped, read_dropped, read_rows, write_dropped
from espnet2.utils.errors import DataError
from espnet2.utils.files import atomic_path
from espnet2.utils.logs import log


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


def merge_corpus(out: Path, manifests: list[Path], config: FormatConfig) -> dict[str, float]:
    """Join the shards of one corpus: index.arrow, wav.scp (kaldiio form) and dropped.tsv.

    Of utterances with equal audio the first in C order stays. Returns counts and hours.
    Raises DataError when more than ``max_drop_ratio`` of the utterances are dropped; dropped.tsv
    is written first.
    """
    rows = [row for manifest in manifests for row in read_rows(manifest)]
    dropped = [d for m in manifests for d in read_dropped(m.with_suffix(".dropped.tsv"))]
    table = pa.concat_tables(
        Index.open(m.with_suffix(".arrow"), out.parent).table for m in manifests
    )
    first, duplicates = split_duplicates(table)
    dropped = sorted(dropped + duplicates, key=lambda d: d.utt_id.encode())
    write_dropped(out / "dropped.tsv", dropped)
    refuse_heavy_loss(out, len(rows), dropped, config.max_drop_ratio)
    table = table.take(first)
    write_index(out / "index.arrow", table)
    write_table(out / "wav.scp", kaldi_addresses(out, table))
    index = Index.open(out)
    hours_in = sum(float(row["seconds"]) for row in rows) / 3600
    reasons = Counter(d.reason for d in dropped)
    log(f"{out.name}: {summary(len(rows), hours_in, len(index), index.hours, reasons)}")
    return {"utterances": len(index), "hours": index.hours, "dropped": dict(reasons)}


def split_duplicates(table: pa.Table) -> tuple[np.ndarray, list[Dropped]]:
    """Rows whose audio appears for the first time, and the others as dropped."""
    hashes = table["content_hash"].to_numpy()
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    original = first[inverse]  # (rows,) row that holds the same audio first
    again = np.flatnonzero(original != np.arange(len(hashes)))
    utt_ids = table["utt_id"]
    dropped = [
        Dropped(utt_id=utt_ids[int(i)].as_py(), reason="duplicate",
                detail=f"same audio as {utt_ids[int(original[i])].as_py()}")
        for i in again
    ]  # fmt: skip
    return np.sort(first), dropped


def refuse_heavy_loss(out: Path, total: int, dropped: list[Dropped], max_ratio: float) -> None:
    """Raise DataError when too many utterances of a corpus are lost."""
    if len(dropped) <= max_ratio * total:
        return
    reasons = ", ".join(f"{r} {n}" for r, n in Counter(d.reason for d in dropped).most_common())
    raise DataError(
        f"{out.name}: {len(dropped)} of {total} utterances dropped ({reasons}), more than "
        f"max_drop_ratio {max_ratio:g}; first: {dropped[0].utt_id}: {dropped[0].detail}; "
        f"see {out / 'dropped.tsv'}"
    )


def kaldi_addresses(out: Path, table: pa.Table) -> dict[str, str]:
    """utt_id -> ark:offset, as kaldiio and ESPnet (``kaldi_ark``) read it."""
    root = out.parent.absolute()
    columns = (table[name].to_pylist() for name in ("utt_id", "shard", "offset", "nbytes"))
    return {
        utt_id: f"{root / shard}:{Record(offset, nbytes).kaldi_offset}"
        for utt_id, shard, offset, nbytes in zip(*columns, strict=True)
    }


def summary(n_in: int, hours_in: float, n_out: int, hours_out: float, reasons: Counter) -> str:
    """``in: … -> out: …; dropped: …``, the line every stage prints."""
    lost = ", ".join(f"{reason} {n}" for reason, n in sorted(reasons.items())) or "none"
    return (
        f"in: {n_in} utts / {hours_in:.2f} h -> out: {n_out} utts / {hours_out:.2f} h; "
        f"dropped: {lost}"
    )
