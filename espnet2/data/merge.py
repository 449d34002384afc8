"""The end of stage 2: the shards' indexes of one corpus become one index and one dropped.tsv."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from espnet2.data.config import FormatConfig
from espnet2.data.hours import summary
from espnet2.data.index import Index, write_index
from espnet2.data.kaldi import write_table
from espnet2.data.shards import Record
from espnet2.data.tsv import Dropped, read_dropped, read_rows, write_dropped
from espnet2.utils.errors import DataError
from espnet2.utils.logs import log


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
