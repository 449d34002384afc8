import numpy as np
import pytest

from espnet2.bin import combine_data
from espnet2.data import duplicates
from espnet2.data.combine import combine, uniform_hash
from espnet2.data.config import CombineConfig
from espnet2.data.index import Index, IndexedUtterance, table_of, write_index
from espnet2.data.index import writer as index_writer
from espnet2.data.tsv import read_dropped
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.files import read_json, sha256_text


def row(corpus, i, recording=None, digest=None, seconds=1):
    return IndexedUtterance(
        utt_id=f"{corpus}-{i:04d}",
        recording=recording or f"rec{i}",
        shard=f"{corpus}/shards/000.ark",
        offset=i,
        nbytes=1,
        num_samples=16000 * seconds,
        language=("eng", "fra")[i % 2],
        corpus=corpus,
        speaker="s",
        content_hash=digest or sha256_text(f"{corpus}{i}")[:16],
    )


def combine_rows(dump, ratio=0.1, seed=0, **corpora):
    for name, rows in corpora.items():
        write_index(dump / name / "index.arrow", table_of(rows))
    combine(dump, list(corpora), CombineConfig(valid_ratio=ratio), seed)
    return Index.open(dump / "train"), Index.open(dump / "valid")


def test_every_utterance_is_in_exactly_one_set_and_recordings_stay_whole(tmp_path):
    a = [row("a", i, recording=f"rec{i // 5}") for i in range(200)]
    train, valid = combine_rows(tmp_path, ratio=0.3, b=[row("b", i) for i in range(50)], a=a)
    assert sorted([*train.utt_ids, *valid.utt_ids]) == sorted([*(u.utt_id for u in a), *(
        f"b-{i:04d}" for i in range(50))])  # fmt: skip
    recordings = [
        {f"{c}/{r}" for c, r in zip(index.corpora, index.recordings, strict=True)}
        for index in (train, valid)
    ]
    assert not recordings[0] & recordings[1]
    assert 0.15 < len(recordings[1]) / 90 < 0.45
    assert list(train.utt_ids) == sorted(train.utt_ids)  # a before b, each in its own order


def test_adding_a_corpus_moves_no_other_recording(tmp_path):
    a = [row("a", i) for i in range(100)]
    _, alone = combine_rows(tmp_path / "1", ratio=0.2, a=a)
    _, both = combine_rows(tmp_path / "2", ratio=0.2, a=a, b=[row("b", i) for i in range(9)])
    assert set(alone.utt_ids) == {u for u in both.utt_ids if u.startswith("a")}
    _, reseeded = combine_rows(tmp_path / "3", ratio=0.2, seed=1, a=a)
    assert set(alone.utt_ids) != set(reseeded.utt_ids)


def test_at_least_one_recording_validates_and_none_when_not_asked(tmp_path):
    rows = [row("a", i) for i in range(5)]
    assert len(combine_rows(tmp_path / "1", ratio=1e-9, a=rows)[1]) == 1
    assert len(combine_rows(tmp_path / "2", ratio=0.0, a=rows)[1]) == 0


@pytest.mark.parametrize("ratio", [-0.1, 1.0, float("nan")])
def test_a_share_that_leaves_no_training_set_is_refused(ratio):
    with pytest.raises(ConfigError, match="valid_ratio must be at least 0 and under 1, got"):
        CombineConfig(valid_ratio=ratio)


def test_equal_audio_of_two_corpora_is_kept_once(tmp_path):
    train, _ = combine_rows(
        tmp_path,
        ratio=0.0,
        a=[row("a", 0, digest="f" * 16)],
        b=[row("b", 0, digest="f" * 16), row("b", 1)],
    )
    assert list(train.utt_ids) == ["a-0000", "b-0001"]
    (dropped,) = read_dropped(tmp_path / "dropped.tsv")
    assert (dropped.utt_id, dropped.reason, dropped.detail) == (
        "b-0000",
        "duplicate",
        "same audio as a-0000",
    )


@pytest.mark.parametrize(("part_rows", "rows_per_batch"), [(1, 1), (5, 4), (64, 1000)])
def test_parts_and_batches_of_any_size_give_the_same_sets(
    tmp_path, monkeypatch, part_rows, rows_per_batch
):
    def rows(name):
        twins = {i: f"{i % 4:016x}" for i in range(0, 40, 3)}
        return [row(name, i, recording=f"r{i // 3}", digest=twins.get(i)) for i in range(40)]

    whole = combine_rows(tmp_path / "whole", ratio=0.2, a=rows("a"), b=rows("b"))
    monkeypatch.setattr(duplicates, "PART_ROWS", part_rows)
    monkeypatch.setattr(index_writer, "ROWS_PER_BATCH", rows_per_batch)
    parts = combine_rows(tmp_path / "parts", ratio=0.2, a=rows("a"), b=rows("b"))
    assert [len(index) for index in parts] == [len(index) for index in whole]
    assert [index.fingerprint for index in parts] == [index.fingerprint for index in whole]
    for name in ("dropped.tsv", "hours.json"):
        files = [(tmp_path / dump / name).read_bytes() for dump in ("whole", "parts")]
        assert files[0] == files[1]


def test_recordings_are_held_out_by_the_hash_of_seed_corpus_and_name(tmp_path):
    rows = [row("a", i, recording=f"r{i // 2}") for i in range(60)]
    draws = np.array([uniform_hash(7, f"a/r{i // 2}") for i in range(60)])
    _, valid = combine_rows(tmp_path / "1", ratio=0.25, seed=7, a=rows)
    assert list(valid.utt_ids) == [f"a-{i:04d}" for i in np.flatnonzero(draws < 0.25)]
    _, valid = combine_rows(tmp_path / "2", ratio=1e-6, seed=7, a=rows)
    assert list(valid.utt_ids) == [f"a-{i:04d}" for i in np.flatnonzero(draws == draws.min())]
    _, valid = combine_rows(tmp_path / "3", ratio=0.25, seed=7, a=rows[:2])  # one recording
    assert len(valid) == 0


def test_hours_are_counted_by_corpus_and_language(tmp_path, capsys):
    combine_rows(tmp_path, ratio=0.0, a=[row("a", i, seconds=1800) for i in range(3)],
                 b=[row("b", 1, seconds=3600)])  # fmt: skip
    hours = read_json(tmp_path / "hours.json")["train"]
    assert sum(hours.pop("utterances_by_second")) == 4
    assert hours["total"] == {"utterances": 4, "hours": 2.5}
    assert hours["corpora"] == {
        "a": {"utterances": 3, "hours": 1.5},
        "b": {"utterances": 1, "hours": 1.0},
    }
    assert hours["languages"] == {
        "eng": {"utterances": 2, "hours": 1.0},
        "fra": {"utterances": 2, "hours": 1.5},
    }
    assert (
        "total                          2.500           4       0.000           0\n"
        in capsys.readouterr().out
    )


def test_an_id_of_two_corpora_and_an_empty_set_are_refused(tmp_path):
    with pytest.raises(DataError, match="a-0000 appears in two corpora, a and b; put"):
        combine_rows(tmp_path / "1", a=[row("a", 0)], b=[row("a", 0)])
    with pytest.raises(DataError, match="no utterance is left for training"):
        combine_rows(tmp_path / "2", a=[])
    with pytest.raises(DataError, match="not a readable index"):
        combine(tmp_path / "3", ["absent"], CombineConfig(), 0)


def test_the_hash_is_uniform():
    draws = np.array([uniform_hash(1, f"r{i}") for i in range(4000)])
    counts = np.histogram(draws, bins=10, range=(0, 1))[0]
    assert counts.min() > 330
    assert counts.max() < 470


def test_a_corpus_that_is_no_longer_in_data_stays_out(tmp_path, monkeypatch):
    units = []
    monkeypatch.setattr(combine_data, "run_units", lambda some, args: units.extend(some))
    for name in ("b", "a", "noise"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "wav.scp").write_text("u u.wav\n")
    (tmp_path / "data/b/corpus.json").write_text('{"paper_hours": 12.5}')
    (tmp_path / "data/a/corpus.json").write_text('{"licence": "CC0"}')
    for name in ("a", "b", "removed"):
        write_index(tmp_path / "dump" / name / "index.arrow", table_of([row(name, 0)]))
    (tmp_path / "conf.yaml").write_text("seed: 1\n")
    combine_data.main(
        ["--conf", str(tmp_path / "conf.yaml"), "--data", str(tmp_path / "data"),
         "--dump", str(tmp_path / "dump")]
    )  # fmt: skip
    assert units[0].kwargs["corpora"] == ["a", "b"]
    assert [path.parent.name for path in units[0].inputs] == ["a", "b"]
    assert {path.name for path in units[0].inputs} == {"index.json"}
    assert units[0].kwargs["paper_hours"] == {"b": 12.5}
