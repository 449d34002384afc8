"""Kinds folder, kaldi, manual and ml_superb: what stands on the disk is taken over in place."""

import os

import pytest
from tiny_corpora import prepared, write_tone

from espnet2.data.audio import load_pcm
from espnet2.data.corpora import listing
from espnet2.data.corpora.listing import files_below, listing_digest
from espnet2.utils.errors import ConfigError, DataError


def test_the_first_folder_names_the_language_and_another_the_speaker(tmp_path):
    root = tmp_path / "vox lingua"
    write_tone(root / "en/anna/1.wav")
    write_tone(root / "iw/ben/sub dir/2.FLAC")
    (root / "en/anna/1.txt").write_text("a transcript is no audio")
    entry = {"kind": "folder", "path": str(root), "speaker_folder": 2}
    utterances, dropped, _ = prepared("vl", entry, tmp_path / "data")
    assert [(u.utt_id, u.language, u.speaker) for u in utterances] == [
        ("vl-en-anna-1", "eng", "vl-anna"), ("vl-iw-ben-sub_dir-2", "heb", "vl-ben"),
    ]  # fmt: skip
    assert [len(load_pcm(u.source).samples) for u in utterances] == [16000, 16000]
    assert dropped == []


def test_files_that_do_not_fit_are_dropped_with_the_reason(tmp_path):
    root = tmp_path / "c"
    for name in ("eng/spk/a.wav", "loose.wav", "eng/b.wav"):
        write_tone(root / name)
    (root / "eng/spk/c.m4a").write_bytes(b"aac")
    entry = {"kind": "folder", "path": str(root), "speaker_folder": 2}
    utterances, dropped, _ = prepared("c", entry, tmp_path / "data")
    assert [u.utt_id for u in utterances] == ["c-eng-spk-a"]
    assert dropped == [
        ("c-eng-b", "no speaker", "eng/b.wav: not 2 folders deep (speaker_folder)"),
        ("c-eng-spk-c", "format", f"{root}/eng/spk/c.m4a: .m4a is not read; convert it to FLAC"),
        ("c-loose", "no language", "loose.wav: not in a folder that names its language"),
    ]


def test_a_folder_of_files_without_a_language_says_what_to_give(tmp_path):
    write_tone(tmp_path / "c/a.wav")
    message = "dropped: no language 1; give language: in corpora.yaml$"
    with pytest.raises(DataError, match=message):
        prepared("c", {"kind": "folder", "path": str(tmp_path / "c")}, tmp_path / "data")


def test_a_file_name_that_is_no_text_is_dropped(tmp_path):
    write_tone(tmp_path / "c/ok.wav")
    odd = write_tone(tmp_path / "c/odd.wav")
    os.rename(odd, os.fsencode(tmp_path / "c") + b"/\xff\xfe.wav")
    write_tone(tmp_path / "c/two\nlines.wav")
    entry = {"kind": "folder", "path": str(tmp_path / "c"), "language": "eng"}
    utterances, dropped, _ = prepared("c", entry, tmp_path / "data")
    assert [u.utt_id for u in utterances] == ["c-ok"]
    assert [row[:2] for row in dropped] == [("c-??", "file name"), ("c-two_lines", "file name")]


def test_very_long_names_stay_different_and_short_enough(tmp_path):
    for end in ("a", "b"):
        write_tone(tmp_path / "c" / ("ä" * 60) / ("x" * 100 + end + ".wav"))
    entry = {"kind": "folder", "path": str(tmp_path / "c"), "language": "eng"}
    ids = [u.utt_id for u in prepared("c", entry, tmp_path / "data")[0]]
    assert len(set(ids)) == 2
    assert all(len(utt_id.encode()) <= 170 for utt_id in ids)


def test_files_come_in_c_order_without_hidden_ones_and_links_do_not_loop(tmp_path):
    for name in ("b/x.wav", "a/y.wav", "Z.wav", ".cache/h.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a/loop").symlink_to(tmp_path)
    found = [os.path.relpath(entry.path, tmp_path) for entry in files_below(tmp_path)]
    assert found == ["Z.wav", "a/y.wav", "b/x.wav"]


def test_the_digest_notices_names_sizes_and_times(tmp_path):
    file = tmp_path / "a.wav"
    file.write_bytes(b"1")
    os.utime(file, ns=(1, 1))
    first = listing_digest(tmp_path)
    assert listing_digest(tmp_path) == first
    os.utime(file, ns=(1, 2))
    second = listing_digest(tmp_path)
    file.write_bytes(b"12")
    os.utime(file, ns=(1, 2))
    third = listing_digest(tmp_path)
    file.rename(tmp_path / "b.wav")
    assert len({first, second, third, listing_digest(tmp_path)}) == 4


@pytest.fixture
def kaldi(tmp_path):
    """A data directory with a segment, without languages."""
    folder = tmp_path / "old"
    audio = write_tone(tmp_path / "audio/rec.wav", seconds=3)
    folder.mkdir()
    (folder / "wav.scp").write_text(f"rec {audio}\n")
    (folder / "segments").write_text("spk-1 rec 0.5 1.5\nspk-2 rec 1.5 -1\n")
    (folder / "utt2spk").write_text("spk-1 spk\nspk-2 spk\n")
    return folder


@pytest.mark.parametrize("kind", ["kaldi", "manual"])
def test_a_data_directory_is_taken_over_and_gets_the_language(tmp_path, kaldi, kind):
    entry = {"kind": kind, "path": str(kaldi), "language": "azz"}
    if kind == "manual":
        entry |= {"place": "put it there", "prefix_ids": False}
    utterances, dropped, about = prepared("nahuatl", entry, tmp_path / "data")
    assert [(u.utt_id, u.recording, u.start_s, u.end_s, u.language) for u in utterances] == [
        ("spk-1", "rec", 0.5, 1.5, "azz"), ("spk-2", "rec", 1.5, None, "azz"),
    ]  # fmt: skip
    assert utterances[0].source == str(tmp_path / "audio/rec.wav")
    assert (dropped, about["kind"]) == ([], kind)


def test_ids_of_a_data_directory_get_the_name_if_asked(tmp_path, kaldi):
    entry = {"kind": "kaldi", "path": str(kaldi), "prefix_ids": True}
    utterances, _, _ = prepared("wsj", entry, tmp_path / "data")
    ids = [(u.utt_id, u.recording, u.speaker) for u in utterances]
    assert ids == [("wsj-spk-1", "wsj-rec", "wsj-spk"), ("wsj-spk-2", "wsj-rec", "wsj-spk")]


def test_a_data_directory_with_faults_is_refused_with_file_and_line(tmp_path, kaldi):
    (kaldi / "utt2spk").write_text("spk-2 spk\nspk-1 spk\n")
    with pytest.raises(DataError, match=r"old is not a valid data directory:\n.*utt2spk:2: "):
        prepared("c", {"kind": "kaldi", "path": str(kaldi)}, tmp_path / "data")


def test_commands_of_a_data_directory_need_permission(tmp_path, kaldi):
    (kaldi / "wav.scp").write_text("rec cat x.wav |\n")
    entry = {"kind": "kaldi", "path": str(kaldi), "language": "eng"}
    with pytest.raises(DataError, match=r"wav\.scp:1: .*command"):
        prepared("c", entry, tmp_path / "data")
    utterances, _, _ = prepared("c", entry, tmp_path / "data", allow_pipes=True)
    assert utterances[0].source == "cat x.wav |"


def test_a_manual_corpus_may_be_a_folder_and_must_say_what_to_place(tmp_path):
    write_tone(tmp_path / "damp/song.wav")
    entry = {"kind": "manual", "path": str(tmp_path / "damp"), "language": "eng", "place": "ask"}
    assert [u.utt_id for u in prepared("damp", entry, tmp_path / "data")[0]] == ["damp-song"]
    del entry["place"]
    with pytest.raises(ConfigError, match=r"corpora.damp: place is required"):
        prepared("damp", entry, tmp_path / "data")


def test_training_lists_of_ml_superb_become_pre_training_audio(tmp_path):
    folder = tmp_path / "superb/mls/eng"
    for name in ("train_1", "train_2", "dev_1"):
        write_tone(folder / "wav" / f"mls_eng_{name}.wav")
    lists = {
        "1h_train": "mls_eng_train_1 x hello\nmls_eng_train_2 x world\nmls_eng_dev_1 x leak\nbad\n",
        "10min_dev": "mls_eng_dev_1 x leak\n",
        "10min_test": "",
    }
    for name, text in lists.items():
        (folder / f"transcript_{name}.txt").write_text(text)
    entry = {"kind": "ml_superb", "path": str(tmp_path / "superb")}
    utterances, dropped, _ = prepared("superb", entry, tmp_path / "data")
    assert [(u.utt_id, u.language, u.text) for u in utterances] == [
        ("superb-mls_eng_train_1", "eng", "hello"), ("superb-mls_eng_train_2", "eng", "world"),
    ]  # fmt: skip
    assert dropped == [
        ("superb-bad", "fewer than 3 fields", "transcript_1h_train.txt:4"),
        ("superb-mls_eng_dev_1", "held out", "mls/eng: in a dev or test list"),
    ]
    with pytest.raises(
        DataError, match=r"_10min_train.txt is missing; .* complete; it has .* track: 1h"
    ):
        prepared("superb", {**entry, "track": "10min"}, tmp_path / "data")


@pytest.mark.parametrize("names", [["a.wav", "a.flac", "a--2.wav"], ["a.wav", "a.flac", "a.ogg"]])
def test_files_of_one_name_get_ids_that_no_other_file_has_and_that_stay(tmp_path, names):
    entry = {"kind": "folder", "path": str(tmp_path / "c"), "language": "eng"}
    for i, name in enumerate(names):
        write_tone(tmp_path / "c" / name, seconds=1 + i)
    utterances, _, _ = prepared("c", entry, tmp_path / "data")
    ids = {u.source: u.utt_id for u in utterances}
    assert len(set(ids.values())) == len(names)
    assert ids[f"{tmp_path}/c/a.flac"] == "c-a"  # the first by its source
    write_tone(tmp_path / "c/b.wav")
    write_tone(tmp_path / "c/a.mp3")
    later = {u.source: u.utt_id for u in prepared("c", entry, tmp_path / "more")[0]}
    assert len(set(later.values())) == len(names) + 2
    assert {source: later[source] for source in ids} == ids


@pytest.mark.parametrize("folder", ["wav", "dev", "Male"])
def test_a_part_of_a_corpus_is_not_taken_for_a_language(tmp_path, folder):
    write_tone(tmp_path / "c/fra/1.wav")
    write_tone(tmp_path / "c" / folder / "2.wav")
    entry = {"kind": "folder", "path": str(tmp_path / "c")}
    with pytest.raises(DataError, match=f"/c/{folder}: the first folder names the language, and"):
        prepared("c", entry, tmp_path / "data")
    said = {**entry, "languages": {folder: "wav"}}
    languages = [u.language for u in prepared("c", said, tmp_path / "data")[0]]
    assert sorted(languages) == ["fra", "wav"]


def test_looking_through_many_files_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(listing, "SAID_EVERY", 2)
    for name in "abcde":
        (tmp_path / name).touch()
    listing_digest(tmp_path)
    assert capsys.readouterr().err.count("files looked at") == 2
