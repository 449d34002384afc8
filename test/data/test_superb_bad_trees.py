"""ML-SUPERB trees with something wrong: one line that says where, or a row of dropped.tsv."""

import numpy as np
import pytest
import soundfile

from espnet2.bin import superb_data
from espnet2.data.corpora.superb_tiny import write_tiny_tree
from espnet2.data.superb import SuperbDataConfig, find_languages, language_rows
from espnet2.data.superb_units import tree_units
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.files import read_json

CONF = (
    "finetune: {{encoders: {{fbank: {{kind: fbank}}}}, training: {{max_steps: 1}}, data: {{{}}}}}"
)


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    write_tiny_tree(root, ["eng", "tso"], seed=1)
    return root


def stage_10(root, out, data=""):
    conf = out.parent / "conf.yaml"
    conf.write_text(CONF.format(data))
    log = str(out.parent / "log")
    return superb_data.main(
        ["--conf", str(conf), "--root", str(root), "--out", str(out), "--log_dir", log]
    )


def rows_of(root, language, split="train", **config):
    corpora = find_languages(root, [])[language]
    return language_rows(root, corpora, language, "10min", split, SuperbDataConfig(**config))


def test_a_root_that_is_no_tree_is_refused(tmp_path, tree):
    with pytest.raises(DataError, match="nowhere is not a folder; give the root of an ML-SUPERB"):
        stage_10(tmp_path / "nowhere", tmp_path / "dump")
    for folder in (tree / "mls", tree / "mls/eng", tree.parent):  # too deep, or not deep enough
        with pytest.raises(
            DataError, match=f"{folder} holds no <corpus>/<iso3>/.*: not an ML-SUPE"
        ):
            stage_10(folder, tmp_path / "dump")


@pytest.mark.parametrize("name", ["transcript_10min_test.txt", "transcript_10min_train.txt"])
def test_a_list_that_is_missing_is_named(tree, tmp_path, name):
    (tree / "nchlt/eng" / name).unlink()
    with pytest.raises(DataError, match=rf"nchlt/eng/{name} is missing; the tree is not complete"):
        stage_10(tree, tmp_path / "dump")


def test_a_language_or_corpus_that_was_asked_for_must_be_there(tree, tmp_path):
    with pytest.raises(DataError, match="has no language fra; it has eng, tso"):
        stage_10(tree, tmp_path / "dump", "languages: [eng, fra]")
    with pytest.raises(DataError, match="has no corpus swc"):
        stage_10(tree, tmp_path / "dump", "corpora: [swc]")
    with pytest.raises(ConfigError, match="did you mean 'languages'"):
        stage_10(tree, tmp_path / "dump", "language: [eng]")


def test_a_folder_of_an_unknown_language_is_named(tree):
    (tree / "mls/eng").rename(tree / "mls/xxx")
    with pytest.raises(DataError, match=r"mls/xxx: language 'xxx' is not ISO 639-3"):
        find_languages(tree, [])
    (tree / "mls/xxx").rename(tree / "mls/en")
    with pytest.raises(DataError, match=r"mls/en: language 'en' .*'en' is eng in ISO 639-3"):
        find_languages(tree, [])


def test_what_is_missing_of_the_benchmark_is_said(tree, tmp_path, capfd):
    tree_units(tree, ["10min"], SuperbDataConfig(), tmp_path)
    said = capfd.readouterr().err
    assert "not the whole benchmark: 141 of its 143 languages are not read: abk, afr, " in said


def test_chosen_languages_are_the_only_ones(tree, tmp_path):
    assert stage_10(tree, tmp_path / "dump", "languages: [tso]") == 0
    assert read_json(tmp_path / "dump/languages.json") == {"normal": [], "few_shot": ["tso"]}


def test_the_odd_class_of_the_benchmark_keeps_apart_under_a_private_code(tree, tmp_path):
    (tree / "mls/eng").rename(tree / "mls/org_jpn")
    assert stage_10(tree, tmp_path / "dump") == 0
    assert read_json(tmp_path / "dump/languages.json")["normal"] == ["eng", "qoj"]


def test_hidden_folders_are_not_corpora(tree):
    (tree / "mls").rename(tree / ".mls.part")
    assert find_languages(tree, []) == {"eng": ["nchlt", "voxpopuli"], "tso": ["nchlt"]}


def test_empty_transcripts_and_empty_audio_are_dropped_in_every_split(tree):
    folder = tree / "nchlt/tso"
    for split in ("train", "dev", "test"):
        path = folder / f"transcript_10min_{split}.txt"
        first, second, *rest = path.read_text().splitlines()
        path.write_text("\n".join([f"{first.split()[0]} x [noise]", second, *rest]) + "\n")
        silent = folder / "wav" / f"{second.split()[0]}.wav"
        soundfile.write(silent, np.zeros(0, np.int16), 16000)
        kept, dropped = rows_of(tree, "tso", split, few_shot_languages=[])
        reasons = {row.utt_id: row.reason for row in dropped}
        assert reasons[first.split()[0]] == "empty transcript"
        assert reasons[second.split()[0]] == "empty audio"
        assert len(kept) == len(rest)


def test_an_id_that_is_repeated_or_cannot_name_a_file_is_dropped(tree):
    path = tree / "nchlt/tso/transcript_10min_test.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[0], "a/b x word"]) + "\n")
    kept, dropped = rows_of(tree, "tso", "test")
    assert len(kept) == 4
    assert [(row.utt_id, row.reason) for row in dropped] == [
        (lines[0].split()[0], "duplicate id"), ("a/b", "bad id")
    ]  # fmt: skip


def test_a_reserved_utterance_that_the_list_lacks_is_said(tree):
    path = tree / "nchlt/tso/transcript_10min_train.txt"
    path.write_text(
        "".join(x for x in path.read_text().splitlines(keepends=True) if "000035" not in x)
    )
    kept, dropped = rows_of(tree, "tso")
    assert len(kept) == 4
    missing = [row for row in dropped if row.reason == "few-shot utterance missing"]
    assert [(row.utt_id, row.detail) for row in missing] == [("nchlt_tso_000035", "tso")]


def test_a_list_that_is_no_text_is_named(tree):
    (tree / "nchlt/tso/transcript_10min_test.txt").write_bytes(b"a x \xff\n")
    with pytest.raises(DataError, match=r"transcript_10min_test.txt is not UTF-8 text \(byte 4\)"):
        rows_of(tree, "tso", "test")


def test_a_split_without_any_utterance_is_refused_by_name(tree, tmp_path, capfd):
    for corpus in ("mls", "nchlt", "voxpopuli"):
        for path in (tree / corpus).glob("*/transcript_10min_dev.txt"):
            path.write_text("")
    assert stage_10(tree, tmp_path / "dump") == 1
    assert "10min/dev cannot be written: no utterance" in capfd.readouterr().err
