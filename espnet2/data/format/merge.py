"""The end of stage 2: the shards' indexes of one corpus become one index and one dropped.tsv.

Shards are read one after the other, a few times; nothing in memory grows with the utterances.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from espnet2.data.config import FormatConfig
from espnet2.data.duplicates import Duplicates, find_duplicates, scratch
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.index import record_batches
from espnet2.data.index.writer import IndexWriter
from espnet2.data.shards import Record
from espnet2.data.tsv import Dropped, read_dropped, write_dropped
from espnet2.utils.errors import DataError
from espnet2.utils.files import atomic_path, read_json


class Pieces:
    """The shards of a corpus: what went in and what came out, shard by shard."""

    def __init__(self, manifests: list[Path]):
        self.manifests = manifests
        self.utt_ids = lru_cache(maxsize=64)(self._read_utt_ids)  # number of a shard -> its ids
        self.names: dict[str, dict[str, None]] = {"shard": {}, "language": {}, "corpus": {}}
        self.starts = [0]  # first row of each shard, then the rows in all
        self.came_in: Counter = Counter()  # utterances_in, hours_in, hours_no_speech
        for manifest in manifests:
            about = read_json(manifest.with_suffix(".summary.json"))
            self.came_in.update(
                {k: about[k] for k in ("utterances_in", "hours_in", "hours_no_speech")}
            )
            self.starts.append(self.starts[-1])
            for batch in self.batches(manifest):
                self.starts[-1] += len(batch)
                for column, names in self.names.items():
                    names.update(dict.fromkeys(batch[column].dictionary.to_pylist()))

    def batches(self, manifest: Path) -> Iterator[pa.RecordBatch]:
        """The rows of one shard."""
        return record_batches(manifest.with_suffix(".arrow"))

    def content_hashes(self) -> Iterator[np.ndarray]:
        """The content hashes of all rows."""
        for manifest in self.manifests:
            for batch in self.batches(manifest):
                yield batch["content_hash"].to_numpy()

    def utt_id(self, row: int) -> str:
        """The utterance id of a row."""
        number = bisect_right(self.starts, row) - 1
        return self.utt_ids(number)[row - self.starts[number]]

    def _read_utt_ids(self, number: int) -> list[str]:
        batches = self.batches(self.manifests[number])
        return [utt_id for batch in batches for utt_id in batch["utt_id"].to_pylist()]


class Losses:
    """The rows of dropped.tsv, counted while they are written."""

    def __init__(self) -> None:
        self.count, self.reasons = 0, Counter()
        self.first: Dropped | None = None

    def counted(self, rows: Iterator[Dropped]) -> Iterator[Dropped]:
        """The same rows."""
        for row in rows:
            self.first = self.first or row
            self.count += 1
            self.reasons[row.reason] += 1
            yield row


def merge_corpus(out: Path, manifests: list[Path], config: FormatConfig) -> dict[str, float]:
    """Join the shards of one corpus: index.arrow, wav.scp (kaldiio form) and dropped.tsv.

    Of utterances with equal audio the first in C order stays. Returns counts and hours.
    Raises DataError when more than ``max_drop_ratio`` of the utterances are dropped; dropped.tsv
    is written first.
    """
    pieces, losses = Pieces(manifests), Losses()
    with scratch(out / ".merge") as folder:
        total = pieces.starts[-1]
        duplicates = find_duplicates(pieces.content_hashes(), total, folder, "content")
        write_dropped(out / "dropped.tsv", losses.counted(dropped_rows(pieces, duplicates)))
        judged = total - duplicates.count + losses.count  # stretches of speech count as their own
        refuse_heavy_loss(out, judged, losses, config.max_drop_ratio)
        rows, hours = write_rows(out, pieces, duplicates)
    return {**pieces.came_in, "utterances": rows, "hours": hours, "dropped": dict(losses.reasons)}


def dropped_rows(pieces: Pieces, duplicates: Duplicates) -> Iterator[Dropped]:
    """Each shard's own losses and its duplicates, in C order of their ids."""
    for number, manifest in enumerate(pieces.manifests):
        dropped = read_dropped(manifest.with_suffix(".dropped.tsv"))
        start, stop = pieces.starts[number : number + 2]
        for row, first in duplicates.between(start, stop).tolist():
            detail = f"same audio as {pieces.utt_id(first)}"
            dropped.append(Dropped(utt_id=pieces.utt_id(row), reason="duplicate", detail=detail))
        yield from sorted(dropped, key=lambda d: d.utt_id.encode())


def refuse_heavy_loss(out: Path, total: int, losses: Losses, max_ratio: float) -> None:
    """Raise DataError when too many utterances of a corpus are lost."""
    if losses.count <= max_ratio * total:
        return
    reasons = ", ".join(f"{reason} {n}" for reason, n in losses.reasons.most_common())
    raise DataError(
        f"{out.name}: {losses.count} of {total} utterances dropped ({reasons}), more than "
        f"max_drop_ratio {max_ratio:g}; first: {losses.first.utt_id}: {losses.first.detail}; "
        f"see {out / 'dropped.tsv'}"
    )


def write_rows(out: Path, pieces: Pieces, duplicates: Duplicates) -> tuple[int, float]:
    """Write the rows that are no duplicates to index.arrow and wav.scp: their number and hours."""
    names = {column: list(known) for column, known in pieces.names.items()}
    row, rows, samples = 0, 0, 0
    with (
        atomic_path(out / "wav.scp") as part,
        part.open("w", encoding="utf-8", newline="\n") as scp,
        IndexWriter(out / "index.arrow", names) as writer,
    ):
        for manifest in pieces.manifests:
            for batch in pieces.batches(manifest):
                kept = batch.filter(pa.array(duplicates.is_first(row, row + len(batch))))
                row, rows = row + len(batch), rows + len(kept)
                samples += int(kept["num_samples"].to_numpy().sum(dtype=np.int64))
                writer.write(kept)
                scp.writelines(kaldi_lines(out.parent.absolute(), kept))
    return rows, samples / SAMPLE_RATE_HZ / 3600


def kaldi_lines(root: Path, batch: pa.RecordBatch) -> Iterator[str]:
    """``utt_id ark:offset``, as kaldiio and ESPnet (``kaldi_ark``) read it."""
    columns = (batch[name].to_pylist() for name in ("utt_id", "shard", "offset", "nbytes"))
    for utt_id, shard, offset, nbytes in zip(*columns, strict=True):
        yield f"{utt_id} {root}/{shard}:{Record(offset, nbytes).kaldi_offset}\n"
