import pytest

from espnet2.data.corpus_dirs import find_corpora
from espnet2.utils.errors import DataError


def make_corpus(folder):
    folder.mkdir(parents=True)
    (folder / "wav.scp").write_text("u u.wav\n")


def test_corpora_are_found_one_folder_below_and_names_must_differ(tmp_path):
    for name in ("x/a", "x/b", "x/noise", "y/a"):
        make_corpus(tmp_path / name)
    assert [p.name for p in find_corpora([tmp_path / "x"])] == ["a", "b"]
    with pytest.raises(DataError, match="two data directories are named a"):
        find_corpora([tmp_path / "x", tmp_path / "y/a"])
    with pytest.raises(DataError, match="no wav.scp here"):
        find_corpora([tmp_path])


@pytest.mark.parametrize("name", ["train", "valid", "superb", "rirs"])
def test_a_corpus_may_not_be_named_like_a_folder_of_a_later_stage(tmp_path, name):
    make_corpus(tmp_path / name)
    with pytest.raises(DataError, match=f"later stages write a folder {name}; give the corpus"):
        find_corpora([tmp_path])
