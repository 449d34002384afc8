import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from espnet2.tokens.codebook import FILE, Codebook, check_teacher, load_codebook, save_codebook
from espnet2.utils.errors import ConfigError, DataError

TEACHER = {"teacher": "xeus", "layer": 12, "checkpoint_sha256": "0123456789abcdef" * 4}
CENTROIDS = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_a_codebook_comes_back_bit_for_bit_with_its_teacher(tmp_path):
    digest = save_codebook(tmp_path, Codebook(centroids=CENTROIDS, teacher=TEACHER))
    book = load_codebook(tmp_path)
    np.testing.assert_array_equal(book.centroids, CENTROIDS)
    assert (book.teacher, book.sha256) == (TEACHER, digest)
    assert (book.num_clusters, book.dim) == (3, 4)
    other = {**TEACHER, "layer": 11}
    assert save_codebook(tmp_path, Codebook(centroids=CENTROIDS, teacher=other)) != digest


@pytest.mark.parametrize(
    ("centroids", "message"),
    [
        (np.zeros(4, np.float32), r"must be a \(clusters, width\) matrix, got shape \(4,\)"),
        (np.zeros((0, 4), np.float32), r"matrix, got shape \(0, 4\)"),
        (np.zeros((65537, 1), np.float32), "65,537 clusters does not fit 16-bit labels; at most"),
        (np.where(CENTROIDS == 6, np.nan, CENTROIDS), "1 of 3 centroids are not finite, first num"),
    ],
)
def test_centroids_that_cannot_label_are_refused_also_in_a_file(tmp_path, centroids, message):
    with pytest.raises(DataError, match=message):
        Codebook(centroids=centroids, teacher=TEACHER)
    save_file({"centroids": centroids}, tmp_path / FILE, {"teacher": json.dumps(TEACHER)})
    with pytest.raises(DataError, match=f"{FILE}: .*{message}"):
        load_codebook(tmp_path)


def test_as_many_clusters_as_sixteen_bits_can_name_are_allowed():
    assert Codebook(centroids=np.zeros((65536, 1), np.float32), teacher={}).num_clusters == 65536


def test_a_codebook_cut_anywhere_is_one_sentence(tmp_path):
    save_codebook(tmp_path, Codebook(centroids=CENTROIDS, teacher=TEACHER))
    whole = (tmp_path / FILE).read_bytes()
    for length in (0, 5, 60, len(whole) - 20, len(whole) - 1):
        (tmp_path / FILE).write_bytes(whole[:length])
        with pytest.raises(DataError, match=f"{FILE}: damaged, or no codebook .*kmeans stage"):
            load_codebook(tmp_path)


def test_a_file_of_something_else_and_no_file_are_said(tmp_path):
    with pytest.raises(DataError, match=f"no {FILE}; run the kmeans stage"):
        load_codebook(tmp_path)
    save_file({"weight": CENTROIDS}, tmp_path / FILE)
    with pytest.raises(DataError, match="not a codebook of ours|damaged, or no codebook"):
        load_codebook(tmp_path)
    save_file({"centroids": CENTROIDS}, tmp_path / FILE)
    with pytest.raises(DataError, match="not a codebook of ours: it names no 'teacher'"):
        load_codebook(tmp_path)


def test_another_teacher_is_refused_and_all_that_differs_is_named():
    book = Codebook(centroids=CENTROIDS, teacher=TEACHER)
    check_teacher(book, dict(TEACHER), 4)
    other = {**TEACHER, "layer": 9, "checkpoint_sha256": "f" * 64}
    with pytest.raises(ConfigError) as refusal:
        check_teacher(book, other, 4)
    assert str(refusal.value) == (
        "the codebook belongs to another teacher: checkpoint_sha256 was 0123456789ab… when it was "
        "fitted, is ffffffffffff… now; layer was 12 when it was fitted, is 9 now; set section "
        "tokens as it was, or run the kmeans stage again"
    )
    mfcc = {"teacher": "mfcc", "layer": 0, "normalise": "mean"}
    with pytest.raises(ConfigError, match="teacher was 'xeus' when .*, is 'mfcc' now; set"):
        check_teacher(book, mfcc, 4)
    with pytest.raises(ConfigError, match="revision was not set when it was fitted, is 'x' now"):
        check_teacher(book, {**TEACHER, "revision": "x"}, 4)


def test_another_width_is_refused():
    book = Codebook(centroids=CENTROIDS, teacher=TEACHER)
    with pytest.raises(ConfigError, match="have 4 dimensions, the teacher's frames 1024"):
        check_teacher(book, dict(TEACHER), 1024)
