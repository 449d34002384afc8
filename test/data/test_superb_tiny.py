"""The tiny benchmark: its folders, its lists, and what reading it leaves out."""

import hashlib

import pytest
import soundfile

from espnet2.data.corpora.superb_tiny import corpora_of, write_tiny_tree
from espnet2.data.superb import SPLITS, SuperbDataConfig, find_languages, language_rows
from espnet2.data.superb_languages import FEW_SHOT_UTTERANCES, RESERVED_LANGUAGES


@pytest.fixture(scope="module")
def tiny_tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tiny") / "ml superb"
    write_tiny_tree(root, ["eng", "cmn", "dan"], seed=1)
    return root


def rows(root, language, track, split):
    corpora = find_languages(root, [])[language]
    return language_rows(root, corpora, language, track, split, SuperbDataConfig())


def test_the_tree_has_the_benchmarks_folders_and_ids(tiny_tree):
    assert find_languages(tiny_tree, []) == {
        "cmn": ["commonvoice", "fleurs"],
        "dan": ["NST", "commonvoice", "fleurs"],
        "eng": ["mls", "nchlt", "voxpopuli"],
    }
    assert sorted(path.name for path in (tiny_tree / "commonvoice/cmn").iterdir()) == [
        "transcript_10min_dev.txt", "transcript_10min_test.txt", "transcript_10min_train.txt",
        "transcript_1h_train.txt", "wav",
    ]  # fmt: skip
    info = soundfile.info(tiny_tree / "commonvoice/cmn/wav/cv_cmn_000000.wav")
    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
    assert 0.5 < info.duration < 6


def test_every_list_has_its_number_of_utterances(tiny_tree):
    counts = {
        (language, track, split): len(rows(tiny_tree, language, track, split)[0])
        for language in ("cmn", "dan")
        for track in ("10min", "1h")
        for split in SPLITS
    }
    assert counts == {
        ("cmn", "10min", "train"): 16, ("cmn", "10min", "dev"): 6, ("cmn", "10min", "test"): 8,
        ("cmn", "1h", "train"): 24, ("cmn", "1h", "dev"): 6, ("cmn", "1h", "test"): 8,
        ("dan", "10min", "train"): 5, ("dan", "10min", "dev"): 9, ("dan", "10min", "test"): 12,
        ("dan", "1h", "train"): 5, ("dan", "1h", "dev"): 9, ("dan", "1h", "test"): 12,
    }  # fmt: skip


def test_a_reserved_language_trains_on_the_utterances_that_the_benchmark_chose(tiny_tree):
    kept, dropped = rows(tiny_tree, "dan", "10min", "train")
    assert sorted(row.utt_id for row in kept) == sorted(FEW_SHOT_UTTERANCES["dan"])
    assert {row.reason for row in dropped} == {"reserved language"}


def test_the_first_language_has_what_must_be_left_out(tiny_tree):
    reasons = {
        split: sorted(row.reason for row in rows(tiny_tree, "eng", "10min", split)[1])
        for split in SPLITS
    }
    always = ["empty transcript", "fewer than 3 fields"]
    assert reasons == {"train": [*always, "over 20 s"], "dev": [*always, "over 20 s"],
                       "test": always}  # fmt: skip
    texts = [row.text for row in rows(tiny_tree, "eng", "10min", "train")[0]]
    assert not any(set("[],!.") & set(text) for text in texts)
    assert all(text == text.upper() and text for text in texts)


def test_no_utterance_is_in_two_splits(tiny_tree):
    lists = [{row.utt_id for row in rows(tiny_tree, "eng", "1h", split)[0]} for split in SPLITS]
    assert lists[0].isdisjoint(lists[1] | lists[2])
    assert lists[1].isdisjoint(lists[2])


def test_the_same_seed_writes_the_same_bytes_and_another_does_not(tmp_path):
    def digest(name, seed):
        write_tiny_tree(tmp_path / name, ["xty"], seed)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        assert len(files) == 4 + 19 + 12
        return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()

    assert digest("one", 1) == digest("two", 1) != digest("three", 2)


def test_five_utterances_are_chosen_of_each_reserved_language():
    assert len(RESERVED_LANGUAGES) == 20
    assert {len(set(ids)) for ids in FEW_SHOT_UTTERANCES.values()} == {5}
    assert FEW_SHOT_UTTERANCES["lit"][4] == "voxpopuli_lit_001707"
    assert corpora_of("lit") == ("commonvoice", "fleurs", "mls", "voxpopuli")
