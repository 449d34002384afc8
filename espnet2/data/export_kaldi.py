"""An index as a complete Kaldi data directory: what ESPnet, kaldiio and our own stage 2 read."""

import heapq
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from espnet2.data.external_sort import sorted_lines
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.index import Index
from espnet2.data.kaldi.write import TableWriter, table_writers
from espnet2.data.labels import LabelStore
from espnet2.data.shards import Record
from espnet2.utils.files import write_text

ROWS_AT_ONCE = 8192
MAX_RUNS = 512  # sorted stretches that are merged; an index of more is sorted on disk
ROWS_OF_RUN = 1024  # ids of one stretch in memory
TOKENS = "tokens.txt"
WRITTEN = ("wav.scp", "utt2spk", "utt2lang", "utt2corpus", "utt2num_samples", "utt2dur", "text")


def export_kaldi(index: Index, out: Path, labels: LabelStore | None = None) -> int:
    """Write an index as a directory of whole utterances in C order; returns how many.

    ``wav.scp`` points into the shards (``ark:offset`` of an AUDIO record, FLAC); ``text`` holds
    the labels, if they are given, and ``tokens.txt`` ESPnet's list of their tokens. Files of an
    earlier export that this one lacks are removed.
    Raises DataError when an id is there twice or cannot stand in such a directory.
    """
    with table_writers(out, (*WRITTEN, "segments")) as tables:
        for rows in rows_in_c_order(index):
            _add_rows(tables, index, rows)
            if labels is not None:
                for utt_id, row in zip(index.utt_ids[rows], rows.tolist(), strict=True):
                    tables["text"].add(utt_id, " ".join(map(str, labels.labels(row).tolist())))
        _write_tokens(out / TOKENS, labels)
    return len(index)


def espnet_tokens(num_clusters: int) -> list[str]:
    """The tokens of ``text`` by their ids: a cluster is its own, and the two that ESPnet adds."""
    return [*map(str, range(num_clusters)), "<unk>", "<sos/eos>"]


def _write_tokens(path: Path, labels: LabelStore | None) -> None:
    """A token a line, in the order of their ids."""
    if labels is None:
        path.unlink(missing_ok=True)
    else:
        write_text(path, "\n".join([*espnet_tokens(labels.info.num_clusters), ""]))


def _add_rows(tables: dict[str, TableWriter], index: Index, rows: np.ndarray) -> None:
    """The lines of some utterances."""
    root = index.root.absolute()
    columns = (
        index.utt_ids[rows], index.shards[rows], index.offsets[rows].tolist(),
        index.nbytes[rows].tolist(), index.num_samples[rows].tolist(), index.speakers[rows],
        index.languages[rows], index.corpora[rows],
    )  # fmt: skip
    for utt_id, shard, offset, nbytes, samples, speaker, language, corpus in zip(
        *columns, strict=True
    ):
        address = f"{root}/{shard}:{Record(offset, nbytes).kaldi_offset}"
        tables["wav.scp"].add(utt_id, address)
        tables["utt2spk"].add(utt_id, speaker)
        tables["utt2lang"].add(utt_id, language)
        tables["utt2corpus"].add(utt_id, corpus)
        tables["utt2num_samples"].add(utt_id, str(samples))
        tables["utt2dur"].add(utt_id, repr(samples / SAMPLE_RATE_HZ))


def rows_in_c_order(index: Index) -> Iterator[np.ndarray]:
    """(rows,) int64 at a time: all rows of an index in C order of their ids.

    The rows of a corpus are in order already, so a merge of a few stretches is enough.
    """
    starts = sorted_stretches(index)
    if len(starts) > MAX_RUNS:
        lines = sorted_lines(f"{utt_id} {row}" for row, utt_id in enumerate(index.utt_ids))
        ordered = (int(line.rpartition(" ")[2]) for line in lines)
    else:
        ends = [*starts[1:], len(index)]
        stretches = [_numbered(index, *ends_of) for ends_of in zip(starts, ends, strict=True)]
        ordered = (row for _, row in heapq.merge(*stretches))
    while len(rows := np.fromiter(itertools.islice(ordered, ROWS_AT_ONCE), np.int64)):
        yield rows


def sorted_stretches(index: Index) -> list[int]:
    """Where each stretch of ascending ids begins; no more than are of use."""
    starts, last = [], None
    for row, utt_id in enumerate(index.utt_ids):
        if last is None or utt_id < last:
            starts.append(row)
            if len(starts) > MAX_RUNS:
                break
        last = utt_id
    return starts


def _numbered(index: Index, start: int, end: int) -> Iterator[tuple[str, int]]:
    """(id, row) of some rows, read a few at a time."""
    for first in range(start, end, ROWS_OF_RUN):
        stop = min(first + ROWS_OF_RUN, end)
        yield from zip(index.utt_ids[first:stop], range(first, stop), strict=True)
