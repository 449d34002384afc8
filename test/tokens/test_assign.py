import tracemalloc

import numpy as np
import pytest
import torch
from tiny_tokens import make_set

from espnet2.data.labels import labels_file
from espnet2.tokens.assign import label_shard
from espnet2.tokens.codebook import Codebook, save_codebook
from espnet2.tokens.config import TokensConfig
from espnet2.tokens.nearest import CPU_ELEMENTS, NearestCentroid
from espnet2.tokens.stream import lawful, merged, stream_frames
from espnet2.tokens.teachers.base import Frames
from espnet2.tokens.teachers.mfcc import MfccConfig, MfccTeacher
from espnet2.utils.errors import ConfigError, DataError


def nearest(frames, centroids):
    return NearestCentroid(centroids)(torch.from_numpy(frames))


def exact(frames, centroids):
    """The plain reference: every distance in double precision, frame by frame."""
    wide = centroids.astype(np.float64)
    return np.array([np.square(wide - frame).sum(axis=1).argmin() for frame in frames])


@pytest.mark.parametrize(("scale", "shared"), [(1e-3, 0), (1, 0), (300, 0), (1, 1000), (1, -1e6)])
def test_the_nearest_centroid_is_the_exact_one(scale, shared):
    rng = np.random.default_rng(0)
    centroids = (scale * rng.standard_normal((50, 39)) + shared).astype(np.float32)
    frames = (scale * rng.standard_normal((400, 39)) + shared).astype(np.float32)
    np.testing.assert_array_equal(nearest(frames, centroids), exact(frames, centroids))


def test_near_ties_are_decided_in_double_precision_and_equals_by_number():
    rng = np.random.default_rng(1)
    base = (100 * rng.standard_normal((1, 39)) + 1000).astype(np.float32)
    centroids = np.concatenate([base + np.float32(1e-3) * i for i in (3, 1, 1, 2)])
    frames = np.concatenate([base + np.float32(1e-3) * i for i in (0, 1, 2, 3)])
    assert nearest(frames, centroids).tolist() == exact(frames, centroids).tolist() == [1, 1, 3, 0]


def test_where_float32_products_cannot_tell_two_centroids_apart_the_nearer_one_is_taken():
    rng = np.random.default_rng(5)
    base = 100 * rng.standard_normal((20, 39))  # pairs close together, far from all the others
    centroids = np.repeat(base, 2, axis=0) + 1e-3 * rng.standard_normal((40, 39))
    frames = np.repeat(base, 30, axis=0) + 1e-3 * rng.standard_normal((600, 39))
    frames, centroids = frames.astype(np.float32), centroids.astype(np.float32)
    expected = exact(frames, centroids)
    moved = centroids - centroids.mean(axis=0)
    products = (frames - centroids.mean(axis=0)) @ moved.T - np.square(moved).sum(axis=1) / 2
    assert (products.argmax(axis=1) != expected).mean() > 0.1
    np.testing.assert_array_equal(nearest(frames, centroids), expected)


def test_labels_do_not_depend_on_how_many_frames_come_together(monkeypatch):
    rng = np.random.default_rng(2)
    centroids = rng.standard_normal((64, 39)).astype(np.float32)
    frames = rng.standard_normal((1000, 39)).astype(np.float32)
    whole = nearest(frames, centroids)
    for size in (1, 7, 333):
        parts = [nearest(frames[i : i + size], centroids) for i in range(0, 1000, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    monkeypatch.setattr("espnet2.tokens.nearest.CPU_ELEMENTS", 64 * 10)
    np.testing.assert_array_equal(nearest(frames, centroids), whole)
    assert CPU_ELEMENTS > 64 * 10
    assert nearest(frames[:0], centroids).tolist() == []


def test_as_many_candidates_as_there_may_be_are_measured_in_little_memory():
    rng = np.random.default_rng(4)
    centroids = np.repeat(rng.standard_normal((2, 128)), 50, axis=0).astype(np.float32)
    frames = rng.standard_normal((1000, 128)).astype(np.float32)
    find, frames = NearestCentroid(centroids), torch.from_numpy(frames)
    tracemalloc.start()
    found = find(frames)  # 50 centroids are equally near: 50,000 distances of 1 KiB each
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(found.tolist()) == {0, 50}
    np.testing.assert_array_equal(found, exact(frames.numpy(), centroids))
    assert peak < 40e6


def test_the_largest_codebook_fits_sixteen_bits():
    centroids = np.arange(2**16, dtype=np.float32)[:, None]
    assert nearest(np.array([[65535.2]], dtype=np.float32), centroids).tolist() == [65535]
    with pytest.raises(DataError, match="65,537 clusters does not fit 16-bit labels"):
        Codebook(centroids=np.zeros((2**16 + 1, 1), dtype=np.float32), teacher={})


def codebook(folder, k=12, dim=39, teacher=None):
    centroids = 20 * np.random.default_rng(3).standard_normal((k, dim)).astype(np.float32)
    identity = teacher or MfccTeacher(MfccConfig()).identity()
    save_codebook(folder, Codebook(centroids=centroids, teacher=identity))
    return centroids


def test_a_shards_labels_are_those_of_its_utterances_alone_for_any_batch_size(tmp_path):
    index = make_set(tmp_path)
    centroids = codebook(tmp_path / "book")
    shard = "a/shards/000.ark"
    (rows,) = (one.rows for one in index.each_shard() if one.name == shard)
    teacher = MfccTeacher(MfccConfig())
    alone = [exact(teacher.utterance(index.audio(row)), centroids) for row in rows]
    for seconds in (0.01, 0.7, 100.0):
        out = labels_file(tmp_path / f"labels{seconds}", shard)
        config = TokensConfig(batch_seconds=seconds)
        result = label_shard(
            index.path, shard, (rows.start, rows.stop), tmp_path / "book", out, config, "cpu"
        )
        ids = np.fromfile(out, dtype="<u2")
        assert ids.tolist() == np.concatenate(alone).tolist()
        assert result == {"utterances": len(rows), "frames": len(ids)}


@pytest.mark.parametrize(
    ("identity", "dim", "message"),
    [
        (None, 13, "centroids have 13 dimensions, the teacher's frames 39"),
        ({"teacher": "mfcc", "layer": 0, "normalise": "none"}, 39,
         "normalise was 'none' when it was fitted, is 'mean' now"),
        ({"teacher": "xeus", "layer": 12}, 39,
         "another teacher: teacher was 'xeus' when it was fitted"),
    ],
)  # fmt: skip
def test_a_codebook_of_another_teacher_is_refused(tmp_path, identity, dim, message):
    index = make_set(tmp_path, lengths=[400])
    codebook(tmp_path / "book", dim=dim, teacher=identity)
    arguments = (index.path, index.shards[0], (0, 1), tmp_path / "book", tmp_path / "x.u16")
    with pytest.raises(ConfigError, match=message):
        label_shard(*arguments, TokensConfig(), "cpu")


def test_a_damaged_codebook_is_refused(tmp_path):
    index = make_set(tmp_path, lengths=[400])
    arguments = (index.path, index.shards[0], (0, 1), tmp_path / "book", tmp_path / "x.u16")
    with pytest.raises(DataError, match=r"no codebook.safetensors; run the kmeans stage"):
        label_shard(*arguments, TokensConfig(), "cpu")
    codebook(tmp_path / "book")
    file = tmp_path / "book/codebook.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match="damaged, or no codebook"):
        label_shard(*arguments, TokensConfig(), "cpu")


def test_groups_are_laid_together_up_to_the_audio_asked_for():
    lengths = np.array([16000, 16000, 8000, 64000, 1, 1])
    groups = [np.array(group) for group in ([0], [1], [2], [5, 3], [4])]
    assert [list(call) for call in merged(groups, lengths, 2.0)] == [[0, 1], [2], [5, 3], [4]]
    assert [list(call) for call in merged(groups, lengths, 0.0)] == [[0], [1], [2], [5, 3], [4]]
    assert [list(call) for call in merged(groups, lengths, 99.0)] == [[0, 1, 2, 5, 3, 4]]
    assert list(merged([], lengths, 2.0)) == []


def test_the_order_in_which_a_teacher_takes_utterances_changes_no_label(tmp_path, monkeypatch):
    index = make_set(tmp_path)
    codebook(tmp_path / "book")
    (first,) = (one for one in index.each_shard() if one.name == "a/shards/000.ark")
    arguments = (index.path, first.name, (first.rows.start, first.rows.stop), tmp_path / "book")
    label_shard(*arguments, tmp_path / "plain.u16", TokensConfig(), "cpu")

    def longest_first(self, lengths):
        return [np.argsort(-lengths)[:2], np.argsort(-lengths)[2:]]

    monkeypatch.setattr(MfccTeacher, "groups", longest_first)
    label_shard(*arguments, tmp_path / "other.u16", TokensConfig(batch_seconds=0.1), "cpu")
    assert (tmp_path / "other.u16").read_bytes() == (tmp_path / "plain.u16").read_bytes()


def test_one_frame_too_few_or_too_many_is_brought_in_line_and_two_are_not():
    values = torch.arange(6.0)[:, None]
    frames = Frames(values=values, lengths=np.array([2, 4]))
    fixed = lawful(frames, np.array([3, 3]), ["u", "v"])
    assert fixed.values[:, 0].tolist() == [0, 1, 1, 2, 3, 4]
    with pytest.raises(DataError, match="v: the teacher gave 4 frames, its audio has 6"):
        lawful(frames, np.array([2, 6]), ["u", "v"])


def test_frames_that_are_not_finite_name_the_utterance(tmp_path):
    index = make_set(tmp_path, lengths=[400, 400])

    class Broken(MfccTeacher):
        def utterance(self, signal):
            return np.full((1, 39), np.nan, dtype=np.float32)

    with pytest.raises(DataError, match="train-000: the teacher's frames are not finite"):
        list(stream_frames(Broken(MfccConfig()), index, np.arange(2), 60.0))
