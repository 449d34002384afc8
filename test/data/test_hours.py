import numpy as np
import pytest

from espnet2.bin import data_statistics
from espnet2.data.hours import Tally, hours_table
from espnet2.data.index import Index, IndexedUtterance, table_of, write_index
from espnet2.data.index import writer as index_writer
from espnet2.data.index.selection import Selection, copy_selected, tally
from espnet2.utils.errors import ConfigError


@pytest.fixture
def dump(tmp_path, monkeypatch):
    """``dump/train`` of 40 utterances of 0.5 to 20 s in batches of 7."""
    monkeypatch.setattr(index_writer, "ROWS_PER_BATCH", 7)
    rows = [
        IndexedUtterance(
            utt_id=f"u{i:02d}", recording="r", shard=f"{'ab'[i // 20]}/shards/0.ark", offset=0,
            nbytes=1, num_samples=8000 * (i + 1), language=("eng", "fra", "deu")[i % 3],
            corpus="ab"[i // 20], speaker="s", content_hash="0" * 16,
        )
        for i in range(40)
    ]  # fmt: skip
    write_index(tmp_path / "train/index.arrow", table_of(rows))
    return tmp_path


def test_a_tally_counts_by_corpus_language_and_second():
    counted = Tally(["a", "b"], ["eng", "fra"])
    counted.add(np.array([0, 1, 1]), np.array([1, 0, 0]), np.array([16000, 15999, 3600 * 16000]))
    counted.add(np.array([0]), np.array([1]), np.array([3200]))
    assert counted.summary() == {
        "total": {"utterances": 4, "hours": pytest.approx(1.0006, abs=1e-4)},
        "corpora": {
            "a": {"utterances": 2, "hours": 0.0003},
            "b": {"utterances": 2, "hours": 1.0003},
        },
        "languages": {
            "eng": {"utterances": 2, "hours": 1.0003},
            "fra": {"utterances": 2, "hours": 0.0003},
        },
        "utterances_by_second": [2, 1] + [0] * 3598 + [1],
    }


def test_the_paper_s_hours_stand_beside_ours():
    counted = Tally(["a", "b"], ["eng"])
    counted.add(np.array([0, 1]), np.array([0, 0]), np.array([3600 * 16000, 7200 * 16000]))
    table = hours_table({"train": counted.summary()}, {"a": 8.0, "b": 3.5}).splitlines()
    assert table[0].split() == ["train", "h", "utts", "paper", "h"]
    assert [line.split() for line in table[1:]] == [
        ["b", "2.000", "1", "3.5"],
        ["a", "1.000", "1", "8.0"],
        ["eng", "3.000", "2"],
        ["total", "3.000", "2", "11.5"],
    ]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), range(40)),
        (Selection(corpora=("b",)), range(20, 40)),
        (Selection(languages=("fra", "deu"), corpora=("a",)), [i for i in range(20) if i % 3]),
        (Selection(min_s=2.0, max_s=3.0), [3, 4, 5]),
        (Selection(min_s=99.0), []),
    ],
)
def test_a_selection_is_counted_and_copied_alike(dump, selection, expected):
    index = Index.open(dump / "train")
    counted = tally(index, selection)
    assert counted.utterances.sum() == len(expected)
    assert copy_selected(index, selection, dump / "some") == len(expected)
    some = Index.open(dump / "some")
    assert list(some.utt_ids) == [f"u{i:02d}" for i in expected]
    assert some.hours == pytest.approx(counted.hours)
    assert some.num_samples[:].tolist() == [8000 * (i + 1) for i in expected]


def test_the_command_prints_tables_and_writes_an_index_beside_the_set(dump, capsys):
    data_statistics.main(
        ["--index", str(dump / "train"), "--language", "eng", "--max_s", "10", "--out",
         str(dump / "eng")]
    )  # fmt: skip
    out = capsys.readouterr().out.splitlines()
    assert out[1].split() == ["a", "0.010", "7"]
    assert out[-2] == (
        "lengths (whole seconds), quantiles: 0 %: 0 s, 5 %: 0 s, 25 %: 2 s, 50 %: 5 s, "
        "75 %: 8 s, 95 %: 9 s, 100 %: 9 s"
    )
    assert out[-1] == f"{dump}/eng/index.arrow: 7 of 40 utterances"
    data_statistics.main(["--index", str(dump / "train"), "--min_s", "99"])
    assert capsys.readouterr().out.splitlines()[-1] == "lengths: no utterance"


def test_what_is_not_there_and_places_that_cannot_be_are_refused(dump):
    index = Index.open(dump / "train")
    with pytest.raises(ConfigError, match="the index has no language 'en'; did you mean 'eng'?"):
        tally(index, Selection(languages=("en",)))
    with pytest.raises(ConfigError, match="no language 'French'; did you mean 'fra'?"):
        tally(index, Selection(languages=("French",)))
    with pytest.raises(ConfigError, match="no corpus 'mls'; it has a, b$"):
        tally(index, Selection(corpora=("mls",)))
    with pytest.raises(ConfigError, match="a new index must lie in .*, beside the shards it names"):
        copy_selected(index, Selection(), dump / "else/where")
    with pytest.raises(ConfigError, match="train: holds an index already"):
        copy_selected(index, Selection(), dump / "train")
