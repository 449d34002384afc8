"""Stage 1 as a command: two synthetic languages, resumed, reconfigured, refused."""

import json

import pytest

from espnet2.bin import prepare_data
from espnet2.utils.errors import ConfigError

CORPORA = """
corpora:
  espeak: {kind: espeak, role: unseen_voice, licence: GPL, languages: {fr: fra, eo: epo}}
  tuxpaint: {kind: tuxpaint, role: real, packages: [stamps], languages: {fr: fra}}
packages:
  stamps: {version: 1.0-1, sha256: abc, size: 9}
"""
CONF = """
seed: 1
data:
  synthetic: {train_utterances: 6, dev_utterances: 2, test_utterances: 3}
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the command in a folder with a space in its name."""
    work = tmp_path / "a recipe"
    work.mkdir()
    monkeypatch.chdir(work)
    (work / "conf.yaml").write_text(CONF)
    (work / "corpora.yaml").write_text(CORPORA)

    def run(*more):
        return prepare_data.main(
            ["--conf", "conf.yaml", "--corpora", "corpora.yaml", "--downloads", "downloads",
             "--superb_root", "downloads/tree", "--data", "data", *more]
        )  # fmt: skip

    run.work = work
    return run


def test_synthetic_part_alone_is_written_and_then_left_alone(run, capsys):
    assert run("--set", "data.real=never") == 0
    tree = run.work / "downloads/tree"
    assert json.loads((tree / "corpora.json").read_text()) == {"espeak": {"kind": "unseen_voice"}}
    test = (tree / "espeak/fra/transcript_10min_test.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split()[0].split("_")[0] for line in test] == [
        "espeak-f5", "espeak-m4", "espeak-m8",
    ]  # fmt: skip
    few_shot = tree / "espeak/epo/transcript_10min_train.txt"
    assert len(few_shot.read_text(encoding="utf-8").splitlines()) == 5
    pretrain = (run.work / "data/espeak/wav.scp").read_text().splitlines()
    assert len(pretrain) == 12
    assert not {line.split()[0] for line in test} & {line.split()[0] for line in pretrain}
    phones = (run.work / "data/espeak/phones.ctm").read_text(encoding="utf-8").splitlines()
    ids = [line.split()[0] for line in phones]
    assert sorted(set(ids)) == [line.split()[0] for line in pretrain]
    assert ids == sorted(ids)
    about = json.loads((run.work / "data/espeak/corpus.json").read_text())
    assert about == {"kind": "espeak", "licence": "GPL"}
    assert run("--set", "data.real=never") == 0
    assert "up to date" in capsys.readouterr().err


def test_machine_without_debian_says_so_and_goes_on(run, monkeypatch, capsys):
    monkeypatch.setattr(prepare_data, "run_units", lambda units, args: print(units) or 1)
    monkeypatch.setenv("PATH", str(run.work))
    assert run() == 1
    out, err = capsys.readouterr()
    assert "WARNING: without tuxpaint: apt-get is not on PATH" in err
    assert "going on with espeak alone" in err
    assert "data_tuxpaint" not in out


def test_unpinned_package_is_refused(run):
    text = CORPORA.replace("packages: [stamps]", "packages: [stumps]")
    (run.work / "corpora.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"tuxpaint: package stumps has no entry under packages"):
        run()


def test_a_corpus_whose_name_is_a_path_is_refused(run):
    (run.work / "corpora.yaml").write_text(CORPORA.replace("tuxpaint:", "../tuxpaint:", 1))
    with pytest.raises(ConfigError, match=r"corpus '../tuxpaint': letters, digits, - and _"):
        run()


def test_unknown_key_is_refused_with_a_guess(run):
    with pytest.raises(ConfigError, match=r"train_minute is not a known key.*train_minutes"):
        run("--set", "data.train_minute=1")


def test_a_corpus_that_is_switched_off_is_removed_and_others_are_left(run, monkeypatch, capsys):
    monkeypatch.setattr(prepare_data, "run_units", lambda units, args: 1)
    data = run.work / "data"
    for name in ("tuxpaint", "espeak", "mine"):
        (data / name).mkdir(parents=True)
        (data / name / "wav.scp").write_text("u u.wav\n")
        (data / f".{name}.done").write_text("{}")
    run("--set", "data.real=never")
    left = [".espeak.done", ".mine.done", "espeak", "mine"]
    assert sorted(path.name for path in data.iterdir()) == left
    assert "data/tuxpaint removed: this run is without the corpus" in capsys.readouterr().err
