import dataclasses
import os
import pickle

import numpy as np
import pyarrow as pa
import pytest

from espnet2.data.frames import num_frames
from espnet2.data.index import Index, IndexedUtterance, index_json, table_of, write_index
from espnet2.data.index import writer as index_writer
from espnet2.data.index.writer import IndexWriter
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json

SHARDS = ["b.ark", "a.ark", "c.ark"]
NAMES = {"shard": SHARDS, "language": ["fra", "eng"], "corpus": ["toy"]}


def rows(count=30):
    return [
        IndexedUtterance(
            utt_id="ütt" * (i % 3) + str(i), recording=f"r{i // 4}", shard=SHARDS[i * 3 // count],
            offset=i * 10**10, nbytes=i, num_samples=300 + 150 * i, language=["eng", "fra"][i % 2],
            corpus="toy", speaker="" if i % 5 else f"s{i}", content_hash=f"{2**63 + i:016x}",
        )
        for i in range(count)
    ]  # fmt: skip


def written(folder, utterances, *cuts):
    """The index of some rows, handed over in parts that end at ``cuts``."""
    with IndexWriter(folder / "index.arrow", NAMES) as writer:
        for part in np.split(np.arange(len(utterances)), cuts):
            writer.write(table_of([utterances[i] for i in part]))
    return Index.open(folder)


@pytest.mark.parametrize("rows_per_batch", [1, 4, 7, 30, 100])
def test_many_batches_read_like_one(tmp_path, monkeypatch, rows_per_batch):
    monkeypatch.setattr(index_writer, "ROWS_PER_BATCH", rows_per_batch)
    utterances = rows()
    index = written(tmp_path, utterances, 3, 3, 20)
    facts = read_json(tmp_path / "index.json")
    assert facts["num_batches"] == -(-30 // rows_per_batch)
    assert [index.utterance(i) for i in range(30)] == utterances
    order = np.random.default_rng(0).permutation(30)
    assert index.utt_ids[order] == [utterances[i].utt_id for i in order]
    assert index.languages[order] == [utterances[i].language for i in order]
    assert index.speakers[5:29:3] == [u.speaker for u in utterances[5:29:3]]
    np.testing.assert_array_equal(index.offsets[order], order * 10**10)
    assert [i for chunk in index.chunks() for i in range(30)[chunk]] == list(range(30))
    assert facts["total_samples"] == sum(u.num_samples for u in utterances)
    assert pickle.loads(pickle.dumps(index)).utt_ids[29] == utterances[29].utt_id


@pytest.mark.parametrize("rows_per_batch", [1, 3, 100])
def test_label_starts_and_shards_do_not_see_batches(tmp_path, monkeypatch, rows_per_batch):
    monkeypatch.setattr(index_writer, "ROWS_PER_BATCH", rows_per_batch)
    index = written(tmp_path, rows(), 11)
    frames = num_frames(300 + 150 * np.arange(30))
    shards = list(index.each_shard())
    assert [(s.name, s.rows) for s in shards] == [
        ("b.ark", range(10)), ("a.ark", range(10, 20)), ("c.ark", range(20, 30))
    ]  # fmt: skip
    for shard in shards:
        own = frames[shard.rows.start : shard.rows.stop]
        assert shard.frames == own.sum()
        starts = index.label_starts[shard.rows.start : shard.rows.stop]
        assert starts.tolist() == (np.cumsum(own) - own).tolist()


def test_the_fingerprint_is_of_the_content_and_not_of_how_it_came(tmp_path, monkeypatch):
    whole = written(tmp_path / "whole", rows())
    assert written(tmp_path / "parts", rows(), 1, 9, 10).fingerprint == whole.fingerprint
    arrow = (tmp_path / "whole/index.arrow").read_bytes()
    assert (tmp_path / "parts/index.arrow").read_bytes() == arrow
    monkeypatch.setattr(index_writer, "ROWS_PER_BATCH", 4)
    assert written(tmp_path / "small", rows(), 17).fingerprint == whole.fingerprint


CHANGED = {
    "utt_id": "other", "recording": "other", "shard": "a.ark", "offset": 7, "nbytes": 7,
    "num_samples": 7, "language": "fra", "speaker": "other", "content_hash": "f" * 16,
}  # fmt: skip


@pytest.mark.parametrize("column", CHANGED)
def test_any_cell_changes_the_fingerprint(tmp_path, column):
    utterances = rows()
    before = written(tmp_path / "before", utterances).fingerprint
    utterances[10 if column == "shard" else 20] = dataclasses.replace(
        utterances[9 if column == "shard" else 20], **{column: CHANGED[column]}
    )
    assert written(tmp_path / "after", utterances).fingerprint != before


def test_a_letter_moved_to_the_next_row_changes_the_fingerprint(tmp_path):
    digests = []
    for ids in (["ab", "c"], ["a", "bc"]):
        pair = [dataclasses.replace(u, utt_id=i) for u, i in zip(rows()[:2], ids, strict=True)]
        digests.append(written(tmp_path / ids[0], pair).fingerprint)
    assert digests[0] != digests[1]


def test_codes_names_and_dictionaries_give_the_same_rows(tmp_path):
    table = table_of(rows())
    columns = {name: table[name] for name in table.column_names}
    columns["language"] = np.array([1, 0] * 15)
    columns["corpus"] = ["toy"] * 30
    columns["num_samples"] = 300 + 150 * np.arange(30)
    with IndexWriter(tmp_path / "dict/index.arrow", NAMES) as writer:
        writer.write(columns)
    with IndexWriter(tmp_path / "batch/index.arrow", NAMES) as writer:
        writer.write(table.to_batches()[0])
    digests = {Index.open(tmp_path / name).fingerprint for name in ("dict", "batch")}
    assert digests == {written(tmp_path / "table", rows()).fingerprint}


@pytest.mark.parametrize("rows_per_batch", [1, 2, 100])
def test_a_shard_whose_rows_are_not_consecutive_is_refused(tmp_path, monkeypatch, rows_per_batch):
    monkeypatch.setattr(index_writer, "ROWS_PER_BATCH", rows_per_batch)
    order = ["b.ark", "b.ark", "a.ark", "b.ark"]
    utterances = [dataclasses.replace(u, shard=s) for u, s in zip(rows()[:4], order, strict=True)]
    with pytest.raises(DataError, match=r"the rows of b\.ark are not consecutive: 3 comes after"):
        written(tmp_path, utterances)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("column", "values", "message"), [
    ("language", ["eng"] * 29 + ["deu"], "language deu is not among the names given"),
    ("language", np.full(30, 2), "column language has a code without a name"),
    ("speaker", ["s"] * 29 + [None], "column speaker has an empty cell"),
])  # fmt: skip
def test_cells_that_cannot_be_stored_are_refused(tmp_path, column, values, message):
    table = table_of(rows())
    columns = {name: table[name] for name in table.column_names} | {column: values}
    with (
        pytest.raises(DataError, match=message),
        IndexWriter(tmp_path / "index.arrow", NAMES) as writer,
    ):
        writer.write(columns)


def test_an_error_leaves_the_index_that_was_there(tmp_path):
    before = written(tmp_path, rows())
    with (
        pytest.raises(DataError, match="not among the names"),
        IndexWriter(tmp_path / "index.arrow", {**NAMES, "corpus": ["other"]}) as writer,
    ):
        writer.write(table_of(rows(3)))
    assert Index.open(tmp_path).fingerprint == before.fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.arrow", "index.json"]


def test_looking_up_rows_maps_no_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(index_writer, "ROWS_PER_BATCH", 5)
    index = written(tmp_path, rows())
    index.num_samples[0], index.shards[0]  # places are asked once, of a map that is closed again
    index.utterance(29)
    with open("/proc/self/maps") as maps:
        assert str(tmp_path) not in maps.read()
    assert index.table.num_rows == 30
    with open("/proc/self/maps") as maps:
        assert str(tmp_path) in maps.read()


def test_compressed_columns_are_refused_when_they_are_read(tmp_path):
    write_index(tmp_path / "index.arrow", table_of(rows(200)))
    table = Index.open(tmp_path).table
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        pa.OSFile(str(tmp_path / "new"), "wb") as sink,
        pa.ipc.new_file(sink, table.schema, options=options) as writer,
    ):
        writer.write_table(table)
    os.replace(tmp_path / "new", tmp_path / "index.arrow")
    facts = index_json(tmp_path)
    size = (tmp_path / "index.arrow").stat().st_size
    before = read_json(facts)["arrow_bytes"]
    facts.write_text(facts.read_text().replace(str(before), str(size)))
    with pytest.raises(DataError, match="its columns are compressed; write the index again"):
        Index.open(tmp_path).num_samples[0]
