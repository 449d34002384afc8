"""Stage 10 on Kaldi directories of one's own."""

import pytest
import soundfile
from stage_10 import reasons, stage_10

from espnet2.data.corpora.superb_tiny_others import write_tiny_kaldi
from espnet2.data.kaldi import check_kaldi, read_kaldi
from espnet2.data.superb import SuperbDataConfig
from espnet2.data.superb_kaldi import split_folders, split_rows
from espnet2.data.superb_sets import refuse_unknown_reserved
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.files import read_json


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    """Two languages and a further test."""
    root = tmp_path_factory.mktemp("kaldi") / "own"
    write_tiny_kaldi(root, ["eng", "dan"], 1, {"train": 4, "dev": 2, "test": 2, "test_phone": 2})
    return root


def test_kaldi_directories_become_sets_of_the_benchmark(directories, tmp_path):
    out = tmp_path / "dump"
    assert stage_10(directories, out, "kind: kaldi, tests: [test_phone]") == 0
    for name in ("train", "dev", "test", "test_phone"):
        assert check_kaldi(out / "full" / name, audio=True) == []
    utterances = read_kaldi(out / "full/test_phone")
    assert [u.utt_id for u in utterances] == [
        f"own_{language}_test_phone_00000{n}" for language in ("dan", "eng") for n in range(2)
    ]
    assert all(set(u.text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ ") for u in utterances)
    assert read_json(out / "languages.json") == {"normal": ["dan", "eng"], "few_shot": []}
    assert read_json(out / "phones.json") == {}
    assert read_json(out / "corpora.json") == {"own": {"kind": "real"}}


def test_segments_corpora_and_reserved_languages_of_directories_are_kept(directories, tmp_path):
    root = tmp_path / "cut"
    for split in ("train", "dev", "test"):
        (root / split).mkdir(parents=True)
        wav = directories / "wav" / f"own_eng_{split}_000000.wav"
        (root / split / "wav.scp").write_text(f"rec_{split} {wav}\n")
        (root / split / "segments").write_text(f"{split}_a rec_{split} 0.1 0.55\n")
        (root / split / "text").write_text(f"{split}_a Half a word.\n")
        (root / split / "utt2lang").write_text(f"{split}_a eng\n")
        (root / split / "utt2corpus").write_text(f"{split}_a radio\n")
    out = tmp_path / "dump"
    assert stage_10(root, out, "kind: kaldi, few_shot_languages: [eng]") == 0
    (utterance,) = read_kaldi(out / "full/dev")
    assert (utterance.recording, utterance.start_s, utterance.end_s) == ("rec_dev", 0.1, 0.55)
    assert (utterance.text, utterance.duration_s) == ("HALF A WORD", 0.45)
    assert check_kaldi(out / "full/dev", audio=True) == []
    assert read_json(out / "languages.json") == {"normal": [], "few_shot": ["eng"]}
    assert (out / "full/dev/utt2corpus").read_text() == "dev_a radio\n"


def test_a_stretch_to_the_end_of_a_recording_is_as_long_as_what_is_left(directories, tmp_path):
    wav = directories / "wav/own_eng_test_000000.wav"
    (tmp_path / "wav.scp").write_text(f"rec {wav}\n")
    (tmp_path / "segments").write_text("a rec 0.25 -1\n")
    (tmp_path / "text").write_text("a word\n")
    (tmp_path / "utt2lang").write_text("a eng\n")
    [row], dropped = split_rows(tmp_path, "test", SuperbDataConfig(kind="kaldi"))
    assert row.duration_s == soundfile.info(wav).duration - 0.25
    assert dropped == []


def test_a_reserved_language_that_is_in_no_list_is_refused(directories, tmp_path, capfd):
    assert stage_10(directories, tmp_path, "kind: kaldi, few_shot_languages: [dam]") == 1
    assert (
        "finetune.data.few_shot_languages: dam is in no list of the data; did you mean 'dan'?"
    ) in capfd.readouterr().err
    assert not (tmp_path / "full").exists()
    benchmark = SuperbDataConfig(few_shot_languages=["swe", "dan", "swee"])
    with pytest.raises(ConfigError, match="few_shot_languages: swee is in no list of the data"):
        refuse_unknown_reserved(benchmark, {"eng"})  # of a part of the benchmark: dan is not odd
    with pytest.raises(ConfigError, match="few_shot_utterances: tgll is none of the reserved lang"):
        SuperbDataConfig(few_shot_utterances={"tgll": []})


def test_directories_that_cannot_be_a_benchmark_are_refused(directories, tmp_path):
    config = SuperbDataConfig(kind="kaldi")
    with pytest.raises(
        DataError, match=r"train is missing; kind kaldi needs the directories train"
    ):
        split_folders(tmp_path, config)
    write_tiny_kaldi(tmp_path, ["eng"], 1, {"train": 1, "dev": 1, "test": 1})
    (tmp_path / "dev/utt2lang").unlink()
    with pytest.raises(DataError, match=r"dev/utt2lang is missing; a benchmark needs it"):
        split_folders(tmp_path, config)
    (tmp_path / "test/text").write_text("")
    with pytest.raises(DataError, match=r"test/text: no line for own_eng_test_000000"):
        split_rows(tmp_path / "test", "test", config)
    (tmp_path / "train/utt2corpus").write_text("other radio\n")
    with pytest.raises(DataError, match=r"utt2corpus: no line for own_eng_train_000000"):
        split_rows(tmp_path / "train", "train", config)


def test_an_utterance_that_is_trained_on_and_tested_on_is_refused(directories, tmp_path, capfd):
    root = tmp_path / "leaky"
    write_tiny_kaldi(root, ["eng"], 1, {"train": 2, "dev": 1, "test": 1})
    for name in ("wav.scp", "text", "utt2lang"):
        leaked = (root / "train" / name).read_text().splitlines(keepends=True)[0]
        own = (root / "test" / name).read_text()
        (root / "test" / name).write_text("".join(sorted([own, leaked])))
    assert stage_10(root, tmp_path / "dump", "kind: kaldi") == 1
    assert (
        "1 utterances of test are in train too, first own_eng_train_000000: take them out of one"
        in capfd.readouterr().err
    )
    assert not (tmp_path / "dump/full").exists()


def test_what_directories_hold_but_cannot_be_used_has_a_reason(tmp_path):
    write_tiny_kaldi(tmp_path, ["eng"], 1, {"train": 4})
    text = (tmp_path / "train/text").read_text().splitlines()
    (tmp_path / "train/text").write_text("\n".join([text[0].split()[0] + " ...", *text[1:]]) + "\n")
    (tmp_path / "wav/own_eng_train_000001.wav").unlink()
    (tmp_path / "wav/own_eng_train_000002.wav").write_bytes(b"RIFF")
    config = SuperbDataConfig(kind="kaldi", max_train_s=0.01)
    rows, dropped = split_rows(tmp_path / "train", "train", config)
    assert rows == []
    assert list(reasons(dropped).values()) == [
        "empty transcript", "wav missing", "wav unreadable", "over 0.01 s"
    ]  # fmt: skip
