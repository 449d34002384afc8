import json

import numpy as np
import pytest
from tiny_tokens import make_set

from espnet2.tokens.codebook import load_codebook
from espnet2.tokens.config import Quota, TokensConfig
from espnet2.tokens.kmeans import fit_centroids, fit_codebook
from espnet2.tokens.sample import choose, choose_rows, gather, spread
from espnet2.tokens.teachers.mfcc import MfccConfig, MfccTeacher
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.seeding import rng_for

SMALL = TokensConfig(num_clusters=5, kmeans_batch=64, kmeans_epochs=5, kmeans_inits=2)


def test_the_same_seed_gives_the_same_codebook_and_another_seed_another(tmp_path):
    index = make_set(tmp_path)
    digests = []
    for name, seed in (("x", 1), ("y", 1), ("z", 2)):
        fit_codebook(index.path, tmp_path / name, SMALL, seed, "cpu")
        digests.append(load_codebook(tmp_path / name).sha256)
    assert digests[0] == digests[1] != digests[2]


def test_the_codebook_says_where_it_comes_from(tmp_path):
    index = make_set(tmp_path)
    summary = fit_codebook(index.path, tmp_path / "book", SMALL, 1, "cpu")
    story = json.loads((tmp_path / "book/codebook.json").read_text())
    book = load_codebook(tmp_path / "book")
    assert book.centroids.shape == (5, 39)
    assert book.teacher == {"teacher": "mfcc", "layer": 0, "normalise": "mean", "smooth_frames": 1}
    assert (story["sha256"], story["seed"]) == (book.sha256, 1)
    assert story["fit"] == summary
    assert summary["frames"] == index.frames_of(slice(None)).sum()
    assert sum(story["sample_hours"].values()) == pytest.approx(
        index.frames_of(slice(None)).sum() / 180000, abs=2e-3
    )


def test_kmeans_finds_clusters_that_are_there():
    rng = np.random.default_rng(0)
    truth = 50 * rng.standard_normal((5, 8)).astype(np.float32)
    frames = np.repeat(truth, 100, axis=0) + rng.standard_normal((500, 8)).astype(np.float32)
    centroids, fit = fit_centroids(frames, SMALL, seed=0)
    near = [np.abs(centroids - centre).max(axis=1).min() for centre in truth]
    assert max(near) < 1.0
    assert fit["inertia_per_frame"] == pytest.approx(8.0, rel=0.2)


def test_fewer_frames_than_clusters_is_one_sentence():
    with pytest.raises(DataError, match="4 frames cannot make 5 clusters"):
        fit_centroids(np.zeros((4, 3), dtype=np.float32), SMALL, seed=0)


def test_silence_alone_makes_dead_clusters_and_stops(tmp_path, monkeypatch):
    index = make_set(tmp_path, lengths=[16000])
    monkeypatch.setattr(type(index), "audio", lambda self, i: np.zeros(16000, dtype=np.float32))
    with pytest.raises(DataError, match="4 of 5 clusters have no frame, more than max_dead_ratio"):
        fit_codebook(index.path, tmp_path / "book", SMALL, 1, "cpu")
    assert not (tmp_path / "book").exists()


def test_quotas_draw_their_hours_from_their_corpora(tmp_path):
    index = make_set(tmp_path, lengths=[8000] * 30)  # corpus a: 20 rows, b: 10 rows
    corpora = np.asarray(index.corpora)
    hour = 8000 / 16000 / 3600
    quotas = (Quota(corpora=("b",), hours=3.5 * hour), Quota(hours=7 * hour))
    rows = choose_rows(index, quotas, seed=1)
    assert (corpora[rows] == "b").sum() == 4  # the fourth crosses the line
    assert (corpora[rows] == "a").sum() in (7, 8)
    assert (np.diff(rows) > 0).all()
    assert rows.tolist() == choose_rows(index, quotas, seed=1).tolist()
    assert rows.tolist() != choose_rows(index, quotas, seed=2).tolist()
    assert len(choose_rows(index, (Quota(corpora=("a",)),), seed=1)) == 20


def test_quotas_choose_as_one_draw_over_whole_arrays_does(tmp_path, monkeypatch):
    index = make_set(tmp_path, lengths=[500 + 37 * i for i in range(60)])
    monkeypatch.setattr("espnet2.tokens.sample.ROWS_AT_ONCE", 4)
    corpora, lengths = np.asarray(index.corpora), np.asarray(index.num_samples)
    for hours in (1e-4, 3.3e-4, 1.0):
        rows = rng_for(5, "kmeans quota", 0).permutation(np.flatnonzero(corpora == "a"))
        filled = np.cumsum(lengths[rows]) / 16000 / 3600
        expected = np.unique(rows[: np.searchsorted(filled, hours) + 1])
        chosen = choose_rows(index, (Quota(corpora=("a",), hours=hours),), seed=5)
        assert chosen.tolist() == expected.tolist()
        assert chosen.dtype == np.int64


def test_a_quota_for_an_unknown_corpus_or_for_nothing_is_refused(tmp_path):
    index = make_set(tmp_path)
    with pytest.raises(ConfigError, match="the index has no corpus 'aa'; did you mean 'a'"):
        choose(index, (Quota(corpora=("aa",)),), 100, seed=1)
    with pytest.raises(DataError, match="the quotas leave nothing"):
        choose(index, (), 100, seed=1)


@pytest.mark.parametrize(("total", "count"), [(10, 20), (10, 10), (1000, 7), (1000, 999)])
def test_frames_are_spread_evenly_and_never_twice(total, count):
    positions = spread(total, count, seed=3)
    assert positions.min() >= 0
    assert positions.max() < total
    assert (np.diff(positions) > 0).all()
    assert min(total, count) * 0.6 <= len(positions) <= min(total, count)
    if count < total:
        step = total / count
        assert (np.abs(positions - step * np.arange(len(positions))) < step * 400).all()


def test_the_gathered_frames_are_the_chosen_ones_for_any_batch_size(tmp_path):
    index = make_set(tmp_path)
    teacher = MfccTeacher(MfccConfig())
    sample = choose(index, (Quota(),), 60, seed=1)
    whole = np.concatenate([teacher.utterance(index.audio(row)) for row in sample.rows])
    for seconds in (0.01, 1.0, 100.0):
        frames = gather(teacher, index, sample, seconds)
        np.testing.assert_array_equal(frames, whole[sample.positions])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_clusters": 70000}, r"num_clusters must be 2 to 65,536 \(labels are 16-bit\)"),
        ({"max_frames": 0}, "max_frames must be above 0"),
        ({"max_dead_ratio": 1.5}, r"max_dead_ratio must lie in \[0, 1\]"),
        ({"quotas": (Quota(), Quota())}, "only one quota may leave corpora out"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        TokensConfig(**settings)
