import json
import os
import subprocess
import sys

import numpy as np
import pytest
from tiny_tokens import make_set

from espnet2.bin import kmeans
from espnet2.tokens import kmeans as kmeans_module
from espnet2.tokens.codebook import load_codebook
from espnet2.tokens.config import Quota, TokensConfig
from espnet2.tokens.kmeans import fit_centroids, fit_codebook
from espnet2.utils.errors import ConfigError, DataError

SMALL = TokensConfig(num_clusters=5, kmeans_iterations=8)


def clusters(rng=None):
    """Five clusters of 100 frames of 8, their centres far apart: (frames, centres)."""
    rng = rng or np.random.default_rng(0)
    truth = 50 * rng.standard_normal((5, 8)).astype(np.float32)
    noise = rng.standard_normal((500, 8)).astype(np.float32)
    return np.repeat(truth, 100, axis=0) + noise, truth


def test_the_same_seed_gives_the_same_codebook_and_another_seed_another(tmp_path):
    index = make_set(tmp_path)
    digests = []
    for name, seed in (("x", 1), ("y", 1), ("z", 2)):
        fit_codebook(index.path, tmp_path / name, SMALL, seed, "cpu")
        digests.append(load_codebook(tmp_path / name).sha256)
    assert digests[0] == digests[1] != digests[2]


def test_the_codebook_says_where_it_comes_from(tmp_path, capfd):
    index = make_set(tmp_path)
    summary = fit_codebook(index.path, tmp_path / "book", SMALL, 1, "cpu")
    story = json.loads((tmp_path / "book/codebook.json").read_text())
    book = load_codebook(tmp_path / "book")
    assert book.centroids.shape == (5, 39)
    assert book.teacher == {"teacher": "mfcc", "layer": 0, "normalise": "mean", "smooth_frames": 1}
    assert (story["sha256"], story["seed"]) == (book.sha256, 1)
    assert story["teacher_computed"] == "cpu float32"
    assert story["config"]["kmeans_iterations"] == 8
    curve = story["fit"].pop("inertia_curve")
    assert story["fit"] == summary
    assert 3 <= len(curve) <= 9  # the start, and each iteration until nothing changes
    assert curve[0] > curve[-1] == summary["inertia_per_frame"]
    assert (np.diff(curve) <= 1e-6 * curve[0]).all()
    assert summary["frames"] == index.frames_of(slice(None)).sum()
    samples = np.bincount(np.asarray(index.corpora) == "b", weights=index.num_samples[0:8])
    expected = dict(zip("ab", samples / 16000 / 3600, strict=True))
    assert story["sample"]["hours"] == pytest.approx(expected, abs=1e-6)
    assert story["sample"]["utterances"] == 8
    assert story["sample"]["utterances_read"] == 7  # one is too short for a frame
    assert story["provenance"]["faiss"][0].isdigit()
    said = capfd.readouterr().err
    assert "in: 8 utts / 0.00 h -> sample: 8 utts / 0.00 h, 157 frames of them; 7 utts" in said
    assert "5 clusters of 39 dimensions, 0 dead, inertia" in said


def test_kmeans_finds_clusters_that_are_there():
    frames, truth = clusters()
    fit = fit_centroids(frames, SMALL, seed=0)
    near = [np.abs(fit.centroids - centre).max(axis=1).min() for centre in truth]
    assert max(near) < 1.0
    assert fit.counts.tolist() == [100] * 5
    assert fit.inertia_curve[-1] == pytest.approx(8.0, rel=0.2)


FIT = """
import hashlib, os, sys
import numpy as np
from espnet2.tokens import kmeans
from espnet2.tokens.config import TokensConfig
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
kmeans.A_THREADS_WORTH = 10**7
frames = np.random.default_rng(1).standard_normal((4999, 61), dtype=np.float32)
fit = kmeans.fit_centroids(frames, TokensConfig(num_clusters=131, kmeans_iterations=4), 3)
print(hashlib.sha256(fit.centroids.tobytes()).hexdigest(), fit.inertia_curve)
"""


def test_any_number_of_cores_gives_the_same_bits():
    """Three threads, on one core and on all, whatever the environment says of threads."""
    answers = {
        subprocess.run(
            [sys.executable, "-c", FIT, cores], env={**os.environ, **threads}, check=True,
            capture_output=True, text=True,
        ).stdout
        for cores, threads in (
            ("1", {"OMP_NUM_THREADS": "1"}), ("1", {}),
            ("999", {}), ("999", {"OMP_NUM_THREADS": "7"}),
        )
    }  # fmt: skip
    assert len(answers) == 1


def test_all_frames_are_used_however_many_there_are_for_a_cluster():
    frames = np.tile(clusters()[0], (4, 1))  # 2,000, and faiss by itself takes 256 a cluster
    curve = fit_centroids(frames, SMALL, seed=0).inertia_curve
    assert curve[-2] == pytest.approx(curve[-1], rel=1e-4)


def test_the_work_alone_says_how_many_threads_there_are(monkeypatch):
    asked = []
    plain = kmeans_module.openmp_threads
    monkeypatch.setattr(kmeans_module, "openmp_threads", lambda n: asked.append(n) or plain(n))
    frames, _ = clusters()
    products = frames.size * SMALL.num_clusters
    for worth in (products, products // 3, 1, 10**10):
        monkeypatch.setattr(kmeans_module, "A_THREADS_WORTH", worth)
        fit_centroids(frames, SMALL, seed=0)
    assert asked == [1, 3, 16, 1]


def test_the_inertia_is_the_mean_squared_distance_to_the_nearest_centroid():
    frames, _ = clusters()
    fit = fit_centroids(frames, TokensConfig(num_clusters=7, kmeans_iterations=3), seed=0)
    distances = np.square(frames[:, None] - fit.centroids.astype(np.float64)).sum(axis=2)
    assert fit.inertia_curve[-1] == pytest.approx(distances.min(axis=1).mean(), rel=1e-4)
    assert fit.counts.tolist() == np.bincount(distances.argmin(axis=1), minlength=7).tolist()


def test_a_gpu_that_faiss_cannot_use_is_said_and_the_cpu_fits(capfd):
    faiss = pytest.importorskip("faiss")
    if faiss.get_num_gpus():
        pytest.skip("faiss uses a GPU here")
    frames, _ = clusters()
    fit = fit_centroids(frames, SMALL, seed=0, device="cuda")
    np.testing.assert_array_equal(fit.centroids, fit_centroids(frames, SMALL, seed=0).centroids)
    assert "the installed faiss uses no GPU, so the CPU fits" in capfd.readouterr().err


def test_fewer_frames_than_clusters_is_one_sentence():
    with pytest.raises(DataError, match="4 frames cannot make 5 clusters; use fewer clusters"):
        fit_centroids(np.zeros((4, 3), dtype=np.float32), SMALL, seed=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_frames_that_are_not_finite_are_refused(bad):
    frames, _ = clusters()
    frames[77, 3] = bad
    with pytest.raises(DataError, match="some of the frames to fit on are not finite"):
        fit_centroids(frames, SMALL, seed=0)


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_silence_alone_is_recognised(tmp_path, monkeypatch, level):
    index = make_set(tmp_path, lengths=[16000, 9000, 399])
    lengths = index.num_samples[:]
    monkeypatch.setattr(type(index), "audio", lambda self, i: np.full(lengths[i], level, "f4"))
    with pytest.raises(DataError, match="the 2 utterances of the sample are digital silence"):
        fit_codebook(index.path, tmp_path / "book", SMALL, 1, "cpu")
    assert not (tmp_path / "book").exists()


def test_frames_that_are_all_the_same_are_refused():
    with pytest.raises(DataError, match="all 49 frames to fit on are the same; is the audio silen"):
        fit_centroids(np.ones((49, 3), np.float32), SMALL, 1)


def test_too_few_distinct_frames_make_dead_clusters_and_stop(tmp_path, monkeypatch):
    index = make_set(tmp_path, lengths=[16000])
    step = np.zeros(16000, dtype=np.float32)
    step[8000:] = 0.5
    monkeypatch.setattr(type(index), "audio", lambda self, i: step)
    many = TokensConfig(num_clusters=40, kmeans_iterations=2)
    with pytest.raises(DataError, match="of 40 clusters have no frame, more than max_dead_ratio"):
        fit_codebook(index.path, tmp_path / "book", many, 1, "cpu")
    assert not (tmp_path / "book").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_clusters": 70000}, r"num_clusters must be 2 to 65,536 \(labels are 16-bit\)"),
        ({"max_frames": 0}, "max_frames must be above 0"),
        ({"kmeans_iterations": 0}, "kmeans_iterations must be above 0"),
        ({"max_dead_ratio": 1.5}, r"max_dead_ratio must lie in \[0, 1\]"),
        ({"quotas": ()}, "quotas must hold at least one"),
        ({"quotas": (Quota(), Quota())}, "only one quota may leave corpora out"),
        (
            {"quotas": (Quota(corpora=("a", "b")), Quota(corpora=("b",)))},
            "quotas: corpus 'b' is named twice",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        TokensConfig(**settings)


def test_the_command_does_not_fit_over_a_converted_codebook(tmp_path):
    make_set(tmp_path)
    (tmp_path / "recipe.yaml").write_text("tokens: {num_clusters: 5}\n")
    (tmp_path / "book").mkdir()
    story = {"converted_from": {"file": "/somewhere/km.npy"}}
    (tmp_path / "book/codebook.json").write_text(json.dumps(story))
    options = ["--conf", str(tmp_path / "recipe.yaml"), "--index", str(tmp_path / "train")]
    with pytest.raises(ConfigError, match="holds a codebook converted from /somewhere/km.npy; go"):
        kmeans.main([*options, "--out", str(tmp_path / "book")])
