"""A set of a dump folder, with audio and labels given as arrays."""

import numpy as np

from espnet2.data.audio import encode_flac
from espnet2.data.index import Index, IndexedUtterance, table_of, write_index
from espnet2.data.labels import LabelsInfo, write_info, write_labels
from espnet2.data.shards import write_record


def write_set(folder, clips, labels, languages=None):
    """FOLDER/{shards,index.arrow,labels}: utterance ``u07`` has audio ``clips[7]`` (int16)."""
    (folder / "shards").mkdir(parents=True)
    shard = f"{folder.name}/shards/000.ark"
    rows = []
    with (folder / "shards/000.ark").open("wb") as ark:
        for i, clip in enumerate(clips):
            record = write_record(ark, f"u{i:02d}", encode_flac(clip))
            rows.append(
                IndexedUtterance(
                    utt_id=f"u{i:02d}", recording="r", shard=shard,
                    offset=record.offset, nbytes=record.nbytes, num_samples=len(clip),
                    language=languages[i] if languages else "eng", corpus="toy", speaker="s",
                    content_hash="0" * 16,
                )
            )  # fmt: skip
    write_index(folder / "index.arrow", table_of(rows))
    write_labels(folder / "labels" / f"{shard.replace('/', '.')}.u16", np.concatenate(labels))
    write_info(
        folder / "labels",
        LabelsInfo(num_clusters=2500, teacher="t", layer=0, codebook_sha256="",
                   index_sha256=Index.open(folder).fingerprint),
    )  # fmt: skip
