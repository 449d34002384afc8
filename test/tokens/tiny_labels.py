"""Label sets and alignments written by hand, for an index of ``tiny_tokens``."""

import numpy as np

from espnet2.data.labels import LabelsInfo, LabelStore, labels_file, write_info, write_labels
from espnet2.tokens.quality.cells import Table


def write_set(index, folder, ids_of, num_clusters=8):
    """Labels of every row from ``ids_of(row, frames)``; returns the opened store."""
    for shard in index.each_shard():
        ids = [np.zeros(0, int)]
        ids += [np.asarray(ids_of(row, int(index.frames_of(row)))) for row in shard.rows]
        write_labels(labels_file(folder, shard.name), np.concatenate(ids))
    info = LabelsInfo(
        num_clusters=num_clusters, teacher="mfcc", layer=0, codebook_sha256="0" * 64,
        index_sha256=index.fingerprint,
    )  # fmt: skip
    write_info(folder, info)
    return LabelStore.open(index, folder)


def frame_lines(utt_id, tokens):
    """Lines of a CTM that give each frame of an utterance a token; None: no segment."""
    return "".join(
        f"{utt_id} 1 {0.02 * t + 0.0025:.4f} 0.02 {token}\n"
        for t, token in enumerate(tokens)
        if token is not None
    )


def write_ctm(path, index, tokens_of):
    """A CTM of every row with a frame, from ``tokens_of(row, frames)``; returns its path."""
    lines = {}
    for row, utt_id in enumerate(index.utt_ids[:]):
        lines[utt_id] = frame_lines(utt_id, tokens_of(row, int(index.frames_of(row))))
    path.write_text("".join(lines[utt_id] for utt_id in sorted(lines)))
    return path


def table_of(dense):
    """The cells of an array of counts."""
    rows, columns = np.nonzero(dense)
    return Table(rows, columns, np.asarray(dense)[rows, columns])
