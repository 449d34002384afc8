import pickle

import numpy as np
import pyarrow as pa
import pytest

from espnet2.data.audio import content_hash, encode_flac, to_float
from espnet2.data.frames import num_frames
from espnet2.data.index import Index, IndexedUtterance, table_of, write_index
from espnet2.data.shards import write_record
from espnet2.utils.errors import DataError


def make_set(dump, lengths, languages=("eng", "fra")):
    """A little set ``dump/toy`` with one shard; returns its clips."""
    rng = np.random.default_rng(0)
    (dump / "toy/shards").mkdir(parents=True)
    rows, clips = [], []
    with (dump / "toy/shards/000.ark").open("wb") as ark:
        for i, length in enumerate(lengths):
            samples = rng.integers(-9000, 9000, length).astype(np.int16)
            record = write_record(ark, f"utt{i:03d}", encode_flac(samples))
            rows.append(
                IndexedUtterance(
                    utt_id=f"utt{i:03d}",
                    recording=f"rec{i // 2}",
                    shard="toy/shards/000.ark",
                    offset=record.offset,
                    nbytes=record.nbytes,
                    num_samples=length,
                    language=languages[i % len(languages)],
                    corpus="toy",
                    speaker=f"spk{i}",
                    content_hash=content_hash(samples),
                )
            )
            clips.append(samples)
    write_index(dump / "toy/index.arrow", table_of(rows))
    return rows, clips


def test_rows_and_audio_come_back_as_written(tmp_path):
    rows, clips = make_set(tmp_path, [400, 719, 720, 16000])
    index = Index.open(tmp_path / "toy")
    assert [index.utterance(i) for i in range(len(index))] == rows
    for i, clip in enumerate(clips):
        np.testing.assert_array_equal(index.audio(i), to_float(clip))
    assert index.frames_of(slice(None)).tolist() == [1, 1, 2, 49]
    assert index.hours == pytest.approx(sum(map(len, clips)) / 16000 / 3600)


def test_columns_answer_by_row_by_range_and_by_array(tmp_path):
    make_set(tmp_path, [400, 401, 402, 403, 404])
    index = Index.open(tmp_path / "toy/index.arrow")
    assert index.num_samples[1:4].tolist() == [401, 402, 403]
    assert index.num_samples[np.array([4, 0, -2])].tolist() == [404, 400, 403]
    assert isinstance(index.num_samples[2], np.int32)
    assert index.content_hashes[0].dtype == np.uint64
    assert index.utt_ids[4] == index.utt_ids[-1] == "utt004"
    assert index.utt_ids[1:3] == ["utt001", "utt002"]
    assert index.utt_ids[::-2] == ["utt004", "utt002", "utt000"]
    assert list(index.utt_ids) == [f"utt00{i}" for i in range(5)]
    assert index.utt_ids[np.array([3, 0])] == ["utt003", "utt000"]
    assert (index.languages[1], index.languages.names) == ("fra", ["eng", "fra"])
    assert index.languages.codes[:].tolist() == [0, 1, 0, 1, 0]
    assert np.asarray(index.languages).tolist() == ["eng", "fra", "eng", "fra", "eng"]
    assert index.table["num_samples"].to_pylist() == [400, 401, 402, 403, 404]
    with pytest.raises(IndexError, match="row 5 of 5"):
        index.utt_ids[5]


def test_a_worker_process_can_open_it_again(tmp_path):
    make_set(tmp_path, [500, 600])
    index = pickle.loads(pickle.dumps(Index.open(tmp_path / "toy")))
    assert len(index.audio(1)) == 600


def test_an_empty_index_is_an_index(tmp_path):
    write_index(tmp_path / "e/index.arrow", table_of([]))
    index = Index.open(tmp_path / "e")
    assert (len(index), index.hours, list(index.chunks()), list(index.each_shard())) == (
        0,
        0,
        [],
        [],
    )
    assert np.asarray(index.languages).tolist() == list(index.utt_ids) == index.shards.names == []
    assert index.num_samples[:].tolist() == index.utt_ids[0:0] == []


def test_what_is_not_an_index_is_refused(tmp_path):
    (tmp_path / "index.arrow").write_bytes(b"something else")
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DataError, match="not a readable index"):
            Index.open(path)


def test_a_cut_file_and_facts_of_another_file_are_refused(tmp_path):
    make_set(tmp_path, [400] * 9)
    arrow, facts = tmp_path / "toy/index.arrow", tmp_path / "toy/index.json"
    whole = arrow.read_bytes()
    arrow.write_bytes(whole[:-100])
    with pytest.raises(DataError, match=r"toy/index\.arrow: not a readable index"):
        Index.open(arrow)
    make_set(tmp_path / "other", [400] * 8)
    arrow.write_bytes((tmp_path / "other/toy/index.arrow").read_bytes())
    with pytest.raises(
        DataError, match=r"bytes in 1 batches, but index\.json speaks of .* in 1: run"
    ):
        Index.open(arrow)
    arrow.write_bytes(whole)
    assert len(Index.open(arrow)) == 9
    facts.write_text("{}")
    with pytest.raises(DataError, match="not a readable index: 'schema_version'"):
        Index.open(arrow)
    facts.unlink()
    with pytest.raises(DataError, match=r"index: .*index\.json is missing; run the stage that"):
        Index.open(arrow)


def test_an_index_with_other_columns_is_refused(tmp_path):
    make_set(tmp_path, [400])
    index = Index.open(tmp_path / "toy")
    table = index.table.drop_columns("speaker")
    with pa.OSFile(str(index.path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DataError, match="has the columns utt_id, recording, shard, .* version 2"):
        Index.open(tmp_path / "toy")


def test_damaged_audio_names_the_utterance(tmp_path):
    make_set(tmp_path, [5000, 600])
    shard = tmp_path / "toy/shards/000.ark"
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(DataError, match="utt001: .*cut short"):
        Index.open(tmp_path / "toy").audio(1)


def test_the_same_rows_give_the_same_bytes(tmp_path):
    rows, _ = make_set(tmp_path, [400, 500, 600])
    write_index(tmp_path / "other/index.arrow", table_of(rows))
    assert (tmp_path / "other/index.arrow").read_bytes() == (
        tmp_path / "toy/index.arrow"
    ).read_bytes()


def test_frames_follow_the_front_end_for_every_length():
    lengths = np.arange(0, 2000)
    expected = [len(range(0, n - 399, 320)) for n in lengths]
    assert num_frames(lengths).tolist() == expected
    assert [num_frames(int(n)) for n in lengths] == expected
