import pickle

import numpy as np
import pytest

from espnet2.data.index import Index, IndexedUtterance, table_of, write_index
from espnet2.data.index import writer as index_writer
from espnet2.data.labels import (
    LabelsInfo,
    LabelStore,
    labels_file,
    write_info,
    write_labels,
)
from espnet2.utils.errors import DataError

LENGTHS = (16000, 399, 5200, 400, 9000, 720)
SHARDS = ("b/shards/000.ark", "a/shards/000.ark", "a/shards/001.ark")


def make_index(dump, lengths=LENGTHS, name="train"):
    rows = [
        IndexedUtterance(
            utt_id=f"utt{i}", recording=f"utt{i}", shard=SHARDS[i * 3 // len(lengths)], offset=0,
            nbytes=0, num_samples=length, language="eng", corpus="toy", speaker="s",
            content_hash="0" * 16,
        )
        for i, length in enumerate(lengths)
    ]  # fmt: skip
    write_index(dump / name / "index.arrow", table_of(rows))
    return Index.open(dump / name)


def make_labels(index, folder, num_clusters=1000):
    """Each frame's label is its place in the whole set; returns one array an utterance."""
    frames = index.frames_of(slice(None))
    ids = np.split(np.arange(frames.sum()), np.cumsum(frames)[:-1])
    for shard in index.each_shard():
        labels = [ids[row] for row in shard.rows]
        write_labels(labels_file(folder, shard.name), np.concatenate(labels))
    info = LabelsInfo(
        num_clusters=num_clusters,
        teacher="mfcc",
        layer=0,
        codebook_sha256="c",
        index_sha256=index.fingerprint,
    )
    write_info(folder, info, made="here")
    return ids


def test_every_row_gets_its_own_labels_whatever_its_shard(tmp_path):
    index = make_index(tmp_path)
    ids = make_labels(index, tmp_path / "labels")
    store = LabelStore.open(index, tmp_path / "labels")
    for row in (5, 0, 3, 1, 4, 2):
        assert store.labels(row).dtype == np.uint16
        assert store.labels(row).tolist() == ids[row].tolist()
        assert len(store.labels(row)) == index.frames_of(row)
    assert (len(store), store.info.num_clusters, store.info.teacher) == (6, 1000, "mfcc")


def test_labels_are_read_by_position_and_cannot_be_written(tmp_path):
    index = make_index(tmp_path)
    make_labels(index, tmp_path / "labels")
    store = LabelStore.open(index, tmp_path / "labels")
    labels = store.labels(0)
    with pytest.raises(ValueError, match="read-only"):
        labels[0] = 1
    with open("/proc/self/maps") as maps:
        assert str(tmp_path) not in maps.read()
    labels_file(tmp_path / "labels", SHARDS[2]).unlink()
    with pytest.raises(DataError, match=r"utt5: labels: .*a\.shards\.001\.ark\.u16"):
        store.labels(5)


@pytest.mark.parametrize("rows_per_batch", [1, 4])
def test_batches_of_the_index_change_no_label(tmp_path, monkeypatch, rows_per_batch):
    monkeypatch.setattr(index_writer, "ROWS_PER_BATCH", rows_per_batch)
    index = make_index(tmp_path)
    ids = make_labels(index, tmp_path / "labels")
    store = LabelStore.open(index, tmp_path / "labels")
    assert [store.labels(row).tolist() for row in range(6)] == [part.tolist() for part in ids]


def test_a_store_can_be_sent_to_a_worker(tmp_path):
    index = make_index(tmp_path)
    ids = make_labels(index, tmp_path / "labels")
    store = LabelStore.open(index, tmp_path / "labels")
    store.labels(0)
    assert pickle.loads(pickle.dumps(store)).labels(4).tolist() == ids[4].tolist()


def test_a_shard_of_clips_too_short_for_a_frame_has_an_empty_file(tmp_path):
    index = make_index(tmp_path, lengths=(399, 1))
    make_labels(index, tmp_path / "labels")
    assert LabelStore.open(index, tmp_path / "labels").labels(1).tolist() == []


@pytest.mark.parametrize(("cut", "message"), [
    (-2, r"b\.shards\.000\.ark\.u16: cut short: \d+ bytes, \d+ frames need \d+; delete it"),
    (2, r"b\.shards\.000\.ark\.u16: too long"),
    (None, r"b\.shards\.000\.ark\.u16: missing; run the label stage again"),
])  # fmt: skip
def test_a_label_file_of_the_wrong_size_is_refused(tmp_path, cut, message):
    index = make_index(tmp_path)
    make_labels(index, tmp_path / "labels")
    path = labels_file(tmp_path / "labels", "b/shards/000.ark")
    data = path.read_bytes()
    path.unlink()
    if cut:
        path.write_bytes(data[:cut] if cut < 0 else data + b"\0\0")
    with pytest.raises(DataError, match=message):
        LabelStore.open(index, tmp_path / "labels")


def test_labels_of_another_index_are_refused(tmp_path):
    index = make_index(tmp_path)
    make_labels(index, tmp_path / "labels")
    other = make_index(tmp_path, lengths=LENGTHS[::-1], name="valid")
    with pytest.raises(DataError, match=r"labels of another index than .*valid/index\.arrow"):
        LabelStore.open(other, tmp_path / "labels")


def test_a_folder_without_a_sidecar_holds_no_labels(tmp_path):
    with pytest.raises(DataError, match=r"no labels\.json, so no complete labels"):
        LabelStore.open(make_index(tmp_path), tmp_path)


def test_more_clusters_than_sixteen_bits_can_count_are_refused(tmp_path):
    with pytest.raises(DataError, match="num_clusters must be 1 to 65,536, got 65,537"):
        make_labels(make_index(tmp_path), tmp_path / "labels", num_clusters=2**16 + 1)
