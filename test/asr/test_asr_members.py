"""Which utterances of a split a task trains on, and which it is tested on."""

import pytest
from tiny_asr import make_cell_data

from espnet2.asr.data import read_examples
from espnet2.asr.members import is_member
from espnet2.utils.errors import DataError

PLACES = [("eng", "mls"), ("eng", "M-AILABS"), ("deu", "mls")]


def members(task, split, corpora=()):
    return [place for place in PLACES if is_member(task, split, *place, list(corpora))]


def test_a_language_is_trained_on_one_corpus_and_tested_on_all_of_its():
    for split in ("train", "dev"):
        assert members("mono-eng-M-AILABS", split) == [("eng", "M-AILABS")]
    for split in ("test", "in_noise"):
        assert members("mono-eng-M-AILABS", split) == [("eng", "mls"), ("eng", "M-AILABS")]
    assert members("mono-fra-mls", "test") == []


def test_the_other_tasks_have_every_language_of_their_corpora_in_every_split():
    for split in ("train", "dev", "test"):
        assert members("joint", split) == PLACES
        assert members("lid", split, ["mls"]) == [("eng", "mls"), ("deu", "mls")]


def test_the_utterances_of_a_language_are_read_and_a_missing_language_is_named(tmp_path):
    source = make_cell_data(tmp_path)
    folder = source.data_dir("train")
    table = (folder / "utt2corpus").read_text().split("\n")
    table[0] = f"{table[0].split()[0]} other"  # the first Danish utterance
    (folder / "utt2corpus").write_text("\n".join(table))
    features, everything = source.open("train")
    examples = read_examples(folder, features, "mono-dan-real", [])
    assert [e.utt_id for e in examples] == [f"real_dan_{number:03d}" for number in (1, 2, 3)]
    assert [e.target for e in examples] == ["EN SORT KAT", "EN SORT", "EN SORT KAT"]
    assert [everything[e.row].utt_id for e in examples] == [e.utt_id for e in examples]
    with pytest.raises(DataError, match="10min/train has no utterance of mono-dan-fleurs"):
        read_examples(folder, features, "mono-dan-fleurs", [])
