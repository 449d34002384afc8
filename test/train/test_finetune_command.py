"""Stage 11 as a command: what it refuses before any work, and what redoes a cell."""

import json
from argparse import Namespace

import pytest
import yaml
from test_finetune import tiny_asr

from espnet2.bin import finetune as command
from espnet2.train.cells import cells, finetune_config
from espnet2.train.feature_units import Places
from espnet2.utils.errors import ConfigError, DataError

SECTION = {
    "encoders": {"fbank": {"kind": "fbank"}},
    "tasks": ["mono", "lid"],
    "monolingual": ["dan/real", "fra/real"],
    "learning_rates": [0.001],
    "training": {"max_steps": 1},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The sets of stage 10; their test has no French."""
    folder = tmp_path_factory.mktemp("command") / "superb"
    for split in ("train", "dev", "test"):
        tiny_asr.make_split(folder / "10min" / split, 1)
    test = folder / "10min/test/utt2lang"
    test.write_text(test.read_text().replace(" fra", " spa"))
    return folder


def run(data, out, *options, **section):
    conf = out / "conf.yaml"
    conf.write_text(yaml.safe_dump({"finetune": {**SECTION, **section}}))
    words = ["--conf", str(conf), "--data", str(data), "--out", str(out / "exp")]
    return command.main([*words, "--log_dir", str(out / "log"), *options])


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({}, "10min/test has no utterance for mono-fra-real: give the whole tree, or leave out"),
        (
            {"monolingual": ["eng/mls", "dan/fleurs", "dan/real"]},
            "10min/train has no utterance for mono-eng-mls, mono-dan-fleurs: give",
        ),
        ({"tasks": ["lid"], "corpora": {"lid": ["mls"]}}, "10min/train has no utterance for lid:"),
        ({"tasks": ["asr"]}, "task asr is not one of mono, multi, lid, joint"),
    ],
)
def test_what_the_data_do_not_hold_is_refused_before_any_work(data, tmp_path, section, message):
    with pytest.raises(ConfigError, match=message):
        run(data, tmp_path, **section)
    assert not (tmp_path / "log").exists()
    assert not (tmp_path / "exp").exists()


def test_without_stage_10_the_command_says_so(tmp_path):
    with pytest.raises(DataError, match="utt2lang is missing; run stage 10"):
        run(tmp_path / "superb", tmp_path)


def test_phones_redo_the_cells_that_learn_them_and_no_others(tmp_path):
    config = finetune_config(SECTION, "test")
    places = Places(data=tmp_path, export=None, out=tmp_path / "exp")

    def phones():
        units = [command.cell_unit(cell, places) for cell in cells(config)]
        return [u.name for u in units if any(p.name == "text_phones" for p in u.inputs)]

    assert phones() == []
    (tmp_path / "phones.json").write_text(json.dumps({"dan": "a library 1.0"}))
    assert phones() == ["fbank_mono-dan-real_10min_lr0.001_seed1"]


def test_a_cell_whose_features_failed_is_not_scored_with_a_model_of_others(tmp_path):
    config = finetune_config(SECTION, "test")
    places = Places(data=tmp_path, export=None, out=tmp_path)
    units = [command.cell_unit(cell, places) for cell in cells(config)]
    for unit in units:
        unit.marker.parent.mkdir(parents=True)
        unit.marker.touch()
    without = {path.parent: "the disk is full" for path in units[0].inputs}
    failed = command.train_cells(units, without, Namespace(log_dir=tmp_path / "log"))
    assert set(failed) == {unit.name for unit in units}
    for unit in units:
        about = json.loads((unit.marker.parent / "failed.json").read_text())
        assert about["reason"] == "its features failed: the disk is full"
        assert about["log"] == str(tmp_path / f"log/{unit.name}.log")
        assert not unit.marker.exists()
