import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import mutual_info_score
from tiny_labels import table_of, write_ctm, write_set
from tiny_tokens import make_set

from espnet2.tokens.quality import cells
from espnet2.tokens.quality.cells import MERGE_AT, Cells
from espnet2.tokens.quality.ctm import Tokens
from espnet2.tokens.quality.purity import (
    Joint,
    count_joint,
    figures,
    information,
    measures,
    pnmi_shuffled,
    shuffled,
    weighted_mean,
)
from espnet2.utils.errors import DataError
from espnet2.utils.seeding import rng_for

TABLES = arrays(np.int64, (4, 5), elements=st.integers(0, 9)).filter(lambda table: table.any())


def dense_of(table, shape):
    dense = np.zeros(shape, np.int64)
    dense[table.rows, table.columns] = table.counts
    return dense


def pairs_of(dense):
    """Row and column of every observation."""
    rows, columns = np.nonzero(dense)
    return np.repeat([rows, columns], np.asarray(dense)[rows, columns], axis=1)


def test_labels_that_are_the_tokens_tell_everything():
    found = measures(table_of([[5, 0], [0, 3]]))
    assert found == {
        "frames": 8, "tokens": 2, "clusters": 2,
        "phone_purity": 1.0, "cluster_purity": 1.0, "pnmi": pytest.approx(1.0, abs=1e-15),
    }  # fmt: skip


def test_labels_without_a_relation_to_the_tokens_tell_nothing():
    found = measures(table_of([[6, 2, 4], [3, 1, 2]]))
    assert found["pnmi"] == pytest.approx(0.0, abs=1e-15)
    assert found["phone_purity"] == pytest.approx(12 / 18)
    assert found["cluster_purity"] == pytest.approx(9 / 18)


def test_a_table_worked_out_by_hand():
    # Tokens 1/2, 1/2; clusters 1/4, 3/4; I = 1/4 log2(2) + 1/4 log2(2/3) + 1/2 log2(4/3).
    found = measures(table_of([[1, 1], [0, 2]]))
    assert found["phone_purity"] == 3 / 4
    assert found["cluster_purity"] == 3 / 4
    assert found["pnmi"] == pytest.approx(0.25 + 0.25 * np.log2(2 / 3) + 0.5 * np.log2(4 / 3))


def test_where_one_token_is_all_there_is_nothing_to_tell():
    found = measures(table_of([[3, 4]]))
    assert (found["pnmi"], found["phone_purity"], found["cluster_purity"]) == (None, 1.0, 4 / 7)
    assert pnmi_shuffled(table_of([[3, 4]]), rng_for(0, "x")) is None
    rows = [{"frames": 7, "pnmi": None}, {"frames": 1, "pnmi": 0.2}, {"frames": 3, "pnmi": 0.6}]
    assert weighted_mean(rows, "pnmi") == pytest.approx(0.5)
    assert weighted_mean(rows[:1], "pnmi") is None


@settings(deadline=None)
@given(TABLES)
def test_the_information_is_that_of_scikit_learn(dense):
    rows, columns = pairs_of(dense)
    expected = mutual_info_score(rows, columns) / np.log(2)
    assert information(table_of(dense)) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(TABLES, st.permutations(range(5)), st.permutations(range(4)))
def test_names_of_clusters_and_tokens_do_not_matter(dense, clusters, tokens):
    one, other = measures(table_of(dense)), measures(table_of(dense[:, clusters][tokens]))
    assert one.pop("pnmi") == pytest.approx(other.pop("pnmi"), abs=1e-12)
    assert one == other


@settings(deadline=None)
@given(TABLES, st.integers(0, 99))
def test_a_shuffle_keeps_how_often_each_token_and_each_cluster_occurs(dense, seed):
    mixed = dense_of(shuffled(table_of(dense), rng_for(seed, "test")), dense.shape)
    assert mixed.sum(0).tolist() == dense.sum(0).tolist()
    assert mixed.sum(1).tolist() == dense.sum(1).tolist()


def test_the_floor_is_that_of_labels_shuffled_frame_by_frame():
    dense = rng_for(0, "table").integers(0, 8, (6, 40))
    rows, columns = pairs_of(dense)
    rng = rng_for(1, "frames")
    plain = []
    for _ in range(60):
        rng.shuffle(columns)
        plain.append(mutual_info_score(rows, columns) / mutual_info_score(rows, rows))
    drawn = [pnmi_shuffled(table_of(dense), rng_for(seed, "floor")) for seed in range(12)]
    assert np.mean(drawn) == pytest.approx(np.mean(plain), rel=0.05)
    assert np.mean(plain) > 0.05  # far from 0, so that the comparison says something
    assert pnmi_shuffled(table_of(dense), rng_for(3, "floor")) == drawn[3]


def test_more_frames_than_can_be_shuffled_are_refused():
    with pytest.raises(DataError, match=r"1,000,000,000 aligned frames; .* measure a part"):
        shuffled(table_of([[10**9]]), rng_for(0, "x"))


def test_labels_that_know_only_the_language_gain_nothing_in_the_mean_of_the_languages():
    # Two languages without a common token; the label is the language.
    languages = {"eng": table_of([[4, 0], [4, 0], [0, 0], [0, 0]]),
                 "fra": table_of([[0, 0], [0, 0], [0, 6], [0, 6]])}  # fmt: skip
    found = figures(Joint(["a", "b", "c", "d"], languages, languages), seed=0)
    pooled = found["pooled"]
    languages_bits = -(0.4 * np.log2(0.4) + 0.6 * np.log2(0.6))
    assert pooled["pnmi"] == pytest.approx(languages_bits / (languages_bits + 1))
    assert pooled["pnmi_exchanged"] == pooled["pnmi"]
    assert found["mean_of_languages"]["pnmi"] == 0.0
    assert found["languages"]["fra"]["frames"] == 12
    assert found["languages"]["fra"]["phone_purity"] == 0.5


def test_many_observations_are_counted_in_parts():
    many, rng = Cells(), rng_for(0, "cells")
    codes = rng.integers(0, 50, (3, MERGE_AT - 1))
    for row in codes:
        many.add(row)
    found, counts = many.counted()
    assert found.tolist() == list(range(50))
    assert counts.tolist() == np.bincount(codes.reshape(-1)).tolist()
    assert Cells().counted()[0].tolist() == []


def test_what_waits_to_be_counted_does_not_grow(monkeypatch):
    monkeypatch.setattr(cells, "MERGE_AT", 2**14)
    counted = Cells()
    tracemalloc.start()
    for _ in range(64):
        counted.add(np.arange(2**14) % 50)  # 128 KiB each
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 2**19
    assert counted.counted()[1].sum() == 2**20


@pytest.fixture
def spoken(tmp_path):
    """A set, and for each row with a frame its tokens: letters, silence, nothing."""
    index = make_set(tmp_path)
    rng = np.random.default_rng(5)
    choices = np.array(["a", "b", "c", "sil", None], dtype=object)
    tokens = {row: rng.choice(choices, int(index.frames_of(row))) for row in range(len(index))}
    return tmp_path, index, tokens


def test_tokens_and_labels_meet_frame_by_frame_in_every_language(spoken):
    tmp_path, index, tokens = spoken
    ctm = write_ctm(tmp_path / "a.ctm", index, lambda row, frames: tokens[row])
    rng = np.random.default_rng(6)
    ids = {row: rng.integers(0, 8, len(tokens[row])) for row in tokens}
    first = write_set(index, tmp_path / "one", lambda row, frames: ids[row])
    second = write_set(index, tmp_path / "two", lambda row, frames: 7 - ids[row])
    names = Tokens()
    (one, two), coverage = count_joint([first, second], [ctm], names)
    assert sorted(one.tokens) == ["a", "b", "c"]
    assert names.silent == ["sil"]
    for language, table in one.languages.items():
        expected = np.zeros((3, 8), int)
        for row in tokens:
            if index.languages[row] == language:
                for token, label in zip(tokens[row], ids[row], strict=True):
                    if token in one.tokens:
                        expected[one.tokens.index(token), label] += 1
        assert dense_of(table, (3, 8)).tolist() == expected.tolist()
        assert dense_of(two.languages[language], (3, 8)).tolist() == expected[:, ::-1].tolist()
    everything = np.concatenate(list(tokens.values()))
    assert coverage.silent_frames == (everything == "sil").sum()
    assert coverage.uncovered_frames + coverage.frames_without == sum(t is None for t in everything)
    assert coverage.compared_frames == one.pooled.total == np.isin(everything, one.tokens).sum()
    # The second set is the first with its clusters renamed.
    same = figures(one, 3)["mean_of_languages"], figures(two, 3)["mean_of_languages"]
    for name in ("phone_purity", "cluster_purity"):
        assert same[0][name] == same[1][name]
    for name in ("pnmi", "pnmi_exchanged"):
        assert same[0][name] == pytest.approx(same[1][name], abs=1e-12)


def test_exchanged_labels_are_those_of_another_utterance_of_the_language(tmp_path):
    # Rows 0 and 3 are English, 3 frames and 2; the ids in C order: train-000, train-103.
    index = make_set(tmp_path, lengths=[1040, 720, 720, 720])
    assert [index.languages[row] for row in np.argsort(index.utt_ids[:])][:2] == ["eng", "eng"]
    ids = {"train-000": [0, 1, 2], "train-103": [3, 4]}
    store = write_set(index, tmp_path / "x", lambda row, n: ids.get(index.utt_ids[row], [7, 7])[:n])
    ctm = write_ctm(tmp_path / "a.ctm", index, lambda row, frames: "abc"[:frames])
    [joint], _ = count_joint([store], [ctm], Tokens())
    expected = np.zeros((3, 5), int)
    expected[[0, 1, 2], [2, 0, 1]] += 1  # the first has its own, turned by one
    expected[[0, 1], [1, 0]] += 1  # the second has the first's, cut to its length and turned
    assert dense_of(joint.exchanged["eng"], (3, 5)).tolist() == expected.tolist()
    assert dense_of(joint.languages["eng"], (3, 5))[1].tolist() == [0, 1, 0, 0, 1]


def test_exchanged_labels_show_what_runs_alone_are_worth(tmp_path):
    # Long sounds and labels of no relation: PNMI is far above shuffled frames, near exchanged.
    index = make_set(tmp_path, lengths=[64000] * 12)
    rng = np.random.default_rng(0)

    def sounds(row, frames, kinds=6):
        return np.repeat(rng.integers(0, kinds, frames // 10 + 1), 10)[:frames]

    store = write_set(index, tmp_path / "x", lambda row, n: (sounds(row, n + 5) + 2)[5:])
    ctm = write_ctm(tmp_path / "a.ctm", index, lambda row, n: sounds(row, n).tolist())
    [joint], _ = count_joint([store], [ctm], Tokens())
    found = figures(joint, 0)["mean_of_languages"]
    assert found["pnmi"] > 2 * found["pnmi_shuffled"]
    assert found["pnmi"] == pytest.approx(found["pnmi_exchanged"], rel=0.5)


def test_an_alignment_of_other_utterances_is_refused(tmp_path):
    index = make_set(tmp_path, lengths=[720])
    store = write_set(index, tmp_path / "x", lambda row, n: [0] * n)
    for text in ("other 1 0 1 a\n", "train-000 1 0 0.03 sil\n", ""):
        (tmp_path / "a.ctm").write_text(text)
        with pytest.raises(DataError, match=r"a\.ctm: no frame of .* has a token: [01] of 1 utt"):
            count_joint([store], [tmp_path / "a.ctm"], Tokens())
