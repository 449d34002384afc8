"""Stage 1 with corpora on the disk: one unit each, done again when a file of it changes."""

import json

import pytest
from tiny_corpora import write_parquet, write_tone

from espnet2.bin import prepare_data
from espnet2.utils.errors import ConfigError, DataError

CORPORA = """
corpora:
  one: {kind: folder, language: eng, hours: 12}
  two: {kind: hf_parquet, language: fra}
  absent: {kind: manual, place: put the discs there}
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the command in a folder with a space in its name, two of three corpora present."""
    work = tmp_path / "a recipe"
    work.mkdir()
    monkeypatch.chdir(work)
    (work / "conf.yaml").write_text("seed: 1\n")
    (work / "corpora.yaml").write_text(CORPORA)
    write_tone(work / "downloads/one/a.wav")
    write_parquet(work / "downloads/two/train.parquet", [b"x"], id=["b"])

    def run(*more):
        return prepare_data.main(
            ["--conf", "conf.yaml", "--corpora", "corpora.yaml", "--downloads", "downloads",
             "--superb_root", "downloads/tree", "--data", "data", *more]
        )  # fmt: skip

    run.work = work
    return run


def test_a_corpus_that_is_not_there_stops_the_stage_before_it_begins(run):
    with pytest.raises(DataError, match=r"1 of 3 corpora are not on this machine \(paths from "
                       r".*\):\n  absent: .*discs there\n"
                       r"those that are there run with --only 'one two'"):  # fmt: skip
        run()
    assert not (run.work / "data").exists()


def test_some_corpora_are_prepared_each_once_until_a_file_changes(run, capfd):
    assert run("--only", "one, two") == 0
    assert (run.work / "data/one/wav.scp").read_text() == "one-a downloads/one/a.wav\n"
    assert (run.work / "data/two/wav.scp").read_text() == "two-b downloads/two/train.parquet:0\n"
    assert (run.work / "data/two/utt2lang").read_text() == "two-b fra\n"
    assert not (run.work / "downloads/tree").exists()
    assert run("--only", "two one") == 0
    said = capfd.readouterr().err
    assert "up to date (2 units)" in said
    for name in ("one", "two"):  # said by both runs, though units that run side by side are silent
        assert said.count(f": {name}: 1 recordings and segments, 1 language") == 2
    before = (run.work / "data/two/wav.scp").stat().st_ino
    write_tone(run.work / "downloads/one/b.wav")
    assert run("--only", "one two") == 0
    lines = (run.work / "data/one/wav.scp").read_text().splitlines()
    assert lines == ["one-a downloads/one/a.wav", "one-b downloads/one/b.wav"]
    assert (run.work / "data/two/wav.scp").stat().st_ino == before


def test_a_corpus_that_is_left_out_stays_as_it_is(run):
    assert run("--only", "one two") == 0
    assert run("--only", "two") == 0
    assert (run.work / "data/one/wav.scp").is_file()


def test_a_name_that_is_not_in_the_file_is_refused_with_a_guess(run):
    with pytest.raises(ConfigError, match=r"--only onee: no such corpus .*did you mean 'one'"):
        run("--only", "onee")


def test_a_corpus_that_fails_is_named_and_leaves_nothing_half_done(run, capfd):
    (run.work / "downloads/two/train.parquet").write_text("no parquet")
    assert run("--only", "one two") == 1
    assert "data_two failed: " in (said := capfd.readouterr().err)
    assert "train.parquet: not a Parquet file" in said
    assert (run.work / "data/one/wav.scp").is_file()
    left = [path.name for path in (run.work / "data").glob("*two*") if path.suffix != ".lock"]
    assert left == []


def test_a_recipe_that_lhotse_does_not_have_is_refused_at_once(run):
    (run.work / "corpora.yaml").write_text(
        "corpora: {one: {kind: lhotse, recipe: librispeach, language: eng}}\n"
    )
    with pytest.raises(ConfigError, match="prepare_librispeach; did you mean 'librispeech'"):
        run()


def test_a_place_that_cannot_be_written_is_named(run, capfd):
    (run.work / "data").write_text("in the way")
    assert run("--only", "one") == 1
    assert "data_one failed: work: error: data: File exists" in capfd.readouterr().err


def test_a_data_directory_without_languages_is_noted(run, capfd):
    (run.work / "corpora.yaml").write_text("corpora:\n  old: {kind: kaldi, path: old}\n")
    write_tone(run.work / "a.wav")
    (run.work / "old").mkdir()
    (run.work / "old/wav.scp").write_text("a a.wav\n")
    assert run() == 0
    note = "old: 1 utterances have no language and became und; give language: in corpora.yaml, or"
    assert note in capfd.readouterr().err
    (run.work / "corpora.yaml").write_text(
        "corpora:\n  old: {kind: kaldi, path: old, language: eng}\n"
    )
    assert run() == 0
    assert "have no language" not in capfd.readouterr().err


def test_a_corpus_that_an_older_version_prepared_is_up_to_date(run, capfd):
    (run.work / "corpora.yaml").write_text("corpora:\n  one: {kind: folder, language: eng}\n")
    assert run() == 0
    marker = run.work / "data/.one.done"
    held = json.loads(marker.read_text())
    del held["result"]["without_language"]
    marker.write_text(json.dumps(held))
    capfd.readouterr()
    assert run() == 0
    assert "up to date" in capfd.readouterr().err


def test_a_corpus_that_left_the_yaml_is_named_while_it_is_in_data(run, capfd):
    corpora = run.work / "corpora.yaml"
    corpora.write_text("corpora:\n  one: {kind: folder, language: eng}\n")
    assert run() == 0
    assert "stage 2 takes" not in capfd.readouterr().err
    corpora.write_text("corpora:\n  new: {kind: folder, path: downloads/one, language: eng}\n")
    assert run() == 0
    note = "not in the YAML, and stage 2 takes them all the same: data/one; remove them, or use"
    assert note in capfd.readouterr().err
    assert run("--only", "new") == 0
    assert "stage 2 takes" not in capfd.readouterr().err


def test_what_each_corpus_became_is_said_with_its_unknown_languages(run, capfd):
    (run.work / "corpora.yaml").write_text(
        "corpora:\n"
        "  one: {kind: folder, language: eng, hours: 12}\n"
        "  odd: {kind: folder, unknown_language: und}\n"
    )
    write_tone(run.work / "downloads/odd/zzzz/a.wav")
    write_tone(run.work / "downloads/odd/loose.wav")
    for _ in range(2):  # done, then up to date
        assert run() == 0
        said = [line.partition(": ")[2] for line in capfd.readouterr().err.splitlines()]
        assert said[-3:] == [
            "one: 1 recordings and segments, 1 language (12 h in the paper); dropped: none",
            "odd: 1 recordings and segments, 1 language; dropped: no language 1",
            "odd: 1 utterances of 1 languages that ISO 639-3 does not know became und: zzzz; "
            "all in corpus.json",
        ]
