"""Feature files: read back by numpy and kaldiio, whole or absent."""

import kaldiio
import numpy as np
import pytest

from espnet2.data.feature_files import check_ark_ids, check_npz_ids, kaldi_ark, npz_folder
from espnet2.utils.errors import DataError


def arrays(*ids):
    rng = np.random.default_rng(0)
    return {utt_id: rng.normal(size=(n + 1, 4)).astype(np.float32) for n, utt_id in enumerate(ids)}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_ark_written_in_any_order_is_read_back_through_a_sorted_scp(tmp_path):
    features = arrays("b", "ä", "a-1", "a")
    with kaldi_ark(tmp_path, list(features)) as write:
        for utt_id, x in features.items():
            write(utt_id, x)
    lines = (tmp_path / "features.scp").read_text(encoding="utf-8").splitlines()
    assert [line.split()[0] for line in lines] == ["a", "a-1", "b", "ä"]
    read = kaldiio.load_scp(str(tmp_path / "features.scp"))
    for utt_id, x in features.items():
        np.testing.assert_array_equal(read[utt_id], x)
    assert list(dict(kaldiio.load_ark(str(tmp_path / "features.ark")))) == list(features)


def test_an_ark_that_fails_on_the_way_leaves_nothing_that_looks_whole(tmp_path):
    for name in ("features.ark", "features.scp"):
        (tmp_path / name).write_text("of an earlier run")
    with pytest.raises(KeyboardInterrupt), kaldi_ark(tmp_path, ["a", "b"]) as write:
        write("a", arrays("a")["a"])
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_an_npz_is_there_as_soon_as_it_is_written_and_old_ones_are_gone(tmp_path):
    np.savez(tmp_path / "b.npz", features=np.zeros(1))
    np.savez(tmp_path / "other.npz", features=np.zeros(1))
    (tmp_path / ".a.npz.part").write_text("of a killed run")
    features = arrays("a", "b")
    with pytest.raises(KeyboardInterrupt), npz_folder(tmp_path, ["a", "b"]) as write:
        write("a", features["a"])
        with np.load(tmp_path / "a.npz") as file:
            assert file.files == ["features"]
            np.testing.assert_array_equal(file["features"], features["a"])
        raise KeyboardInterrupt
    assert names(tmp_path) == ["a.npz", "other.npz"]


def test_ids_that_name_no_file_or_fit_no_scp_are_refused():
    with pytest.raises(DataError, match="utterance a/b: an id with '/' names no file; use --form"):
        check_npz_ids(["a", "a/b"])
    with pytest.raises(DataError, match="ä: too long a name for a file; use --format ark"):
        check_npz_ids(["ä" * 123])
    check_npz_ids(["ä" * 122 + "a", "a b", ".."])
    with pytest.raises(DataError, match="utterance 'a b': a Kaldi ark takes no id with spaces"):
        check_ark_ids(["a/b", "a b"])


def test_the_longest_id_that_is_allowed_can_be_written(tmp_path):
    utt_id = "x" * 245
    with npz_folder(tmp_path, [utt_id]) as write:
        write(utt_id, np.zeros((1, 2)))
    assert names(tmp_path) == [f"{utt_id}.npz"]
