"""Stage 12 on a real cell: two languages that differ in pitch, filter banks, a tiny probe."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import yaml

from espnet2.asr.config import BatchConfig, EncoderSpec, FeatureConfig, ProbeConfig
from espnet2.asr.features import write_features
from espnet2.bin.score import main
from espnet2.evaluation.cells import parse_cell
from espnet2.evaluation.decode import CellDecoder
from espnet2.evaluation.hypotheses import HEADER, Hypothesis
from espnet2.evaluation.score import score_cell
from espnet2.evaluation.score_config import ScoreConfig
from espnet2.train.cells import CellConfig
from espnet2.train.finetune import run_cell
from espnet2.utils.config import to_dict
from espnet2.utils.errors import CheckpointError, ConfigError, DataError
from espnet2.utils.files import read_json, write_json, write_text

PITCH_HZ = {"dan": 300.0, "swe": 1500.0}
COUNTS = {"train": 8, "dev": 4, "test": 5, "noisy": 3}
WITH_NOISY = "finetune.corrupted.noisy={}"  # as if stage 10 had made the split


def write_split(folder, count, corpora=("real", "voices")):
    """``count`` utterances of a pulsing tone a language."""
    lines = {"wav.scp": [], "text": [], "utt2lang": [], "utt2corpus": [], "utt2spk": []}
    for language, pitch in PITCH_HZ.items():
        for number in range(count):
            utt = f"{language}_{number:03d}"
            time = np.arange(12000 + 1600 * (number % 3)) / 16000
            noise = np.random.default_rng(number).standard_normal(time.size)
            path = folder / "wav" / f"{utt}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            tone = np.sin(2 * np.pi * pitch * time) * (np.sin(2 * np.pi * 4 * time) > 0)
            soundfile.write(path, 0.3 * tone + 0.01 * noise, 16000)
            values = (path, "HEJ DU", language, corpora[number % 2], utt)
            for name, value in zip(lines, values, strict=True):
                lines[name].append(f"{utt} {value}\n")
    for name, rows in {**lines, "spk2utt": lines["utt2spk"]}.items():
        write_text(folder / name, "".join(rows))


def written(path):
    """The rows of a file of hypotheses."""
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    assert header == HEADER
    fields = [line.split("\t") for line in lines]
    return [Hypothesis(utt_id=utt, reference=said, hypothesis=heard) for utt, said, heard in fields]


def cell_config(task, corpora):
    return CellConfig(
        encoder_name="fbank", encoder=EncoderSpec(kind="fbank"), task=task, track="10min",
        learning_rate=0.01, seed=1, corpora=corpora, features=FeatureConfig(),
        probe=ProbeConfig(projection=16, conv_channels=4, output_size=16, attention_heads=2,
                          linear_units=16, num_blocks=1, dropout_rate=0.0, specaug=None),
        batches=BatchConfig(batch_s=8.0), average_best=1,
        training={"max_steps": 100, "valid_interval_steps": 100, "log_interval_steps": 100,
                  "save_interval_steps": 100, "num_workers": 0},
    )  # fmt: skip


def recipe(**changes):
    """The recipe of these cells, as text."""
    kept = ("probe", "batches", "average_best", "training")
    cell = to_dict(cell_config("multi", ["real"]))
    section = {
        "encoders": {"fbank": {"kind": "fbank"}}, "tasks": ["multi", "joint", "lid"],
        "learning_rates": [0.01], "corpora": {"multi": ["real"]},
        **{name: cell[name] for name in kept}, **changes,
    }  # fmt: skip
    return yaml.safe_dump({"report": {"score": {"batch_s": 30.0}}, "finetune": section})


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """dump/superb and exp/superb: an LID cell, a multi cell of one corpus, one without a model."""
    root = tmp_path_factory.mktemp("superb")
    data, exp = root / "dump", root / "exp"
    for split, count in COUNTS.items():
        write_split(data / "10min" / split, count)
        features = exp / "fbank" / "features" / f"10min_{split}"
        spec = EncoderSpec(kind="fbank")
        write_features(data / "10min" / split, spec, None, FeatureConfig(), "cpu", features)
    write_json(data / "languages.json", {"normal": ["dan", "swe"], "few_shot": []})
    write_json(data / "corpora.json", {"voices": {"kind": "unseen_voice"}})
    for task, corpora in (("lid", []), ("multi", ["real"])):
        config = cell_config(task, corpora)
        run_cell(exp / "fbank" / config.name, data, exp / "fbank" / "features", None, config)
        write_json(exp / "fbank" / config.name / ".cell.done", {})
    failed = exp / "fbank" / "joint_10min_lr0.01_seed1"
    write_json(failed / "failed.json", {"reason": "joint: the loss is nan at step 7"})
    for name in ("lid_10min_lr0.5_seed1", "lid_10min_lr0.01_seed2"):  # of an earlier matrix
        shutil.copytree(exp / "fbank" / "lid_10min_lr0.01_seed1", exp / "fbank" / name)
    write_text(root / "recipe.yaml", recipe())
    return root


def test_a_probe_that_learned_two_tones_names_both(tree):
    folder = tree / "exp" / "fbank" / "lid_10min_lr0.01_seed1"
    score_cell(folder, tree / "dump", ScoreConfig())
    score = read_json(folder / "score.json")
    assert score["test"]["num_utts"] == 10
    assert score["test"]["lid"] >= 90
    assert min(score["test"]["lid_in_domain"], score["test"]["lid_unseen_voice"]) >= 75
    assert score["layer_weights"] == [1.0]
    rows = written(folder / "hyp" / "test.tsv")
    right = sum(row.hypothesis == row.reference for row in rows)
    assert 10 * right == score["test"]["lid"]
    assert [row.reference for row in rows] == ["[dan]"] * 5 + ["[swe]"] * 5


def test_a_cell_of_some_corpora_is_scored_on_them_alone(tree):
    folder = tree / "exp" / "fbank" / "multi_10min_lr0.01_seed1"
    score_cell(folder, tree / "dump", ScoreConfig())
    rows = written(folder / "hyp" / "test.tsv")
    assert [row.utt_id[-3:] for row in rows] == ["000", "002", "004"] * 2
    assert read_json(folder / "score.json")["test"]["cer_by_corpus"].keys() == {"real"}


def test_hypotheses_do_not_depend_on_the_batch(tree):
    cell = parse_cell(tree / "exp" / "fbank" / "multi_10min_lr0.01_seed1")
    few = CellDecoder.open(cell, tree / "dump", batch_s=1.0).decode("test")
    assert few == CellDecoder.open(cell, tree / "dump", batch_s=60.0).decode("test")


def test_the_first_layer_weight_is_that_of_the_input_which_a_mix_of_blocks_lacks(tree):
    cell = parse_cell(tree / "exp" / "fbank" / "lid_10min_lr0.01_seed1")
    decoder = CellDecoder.open(cell, tree / "dump", batch_s=1.0)
    assert decoder.layer_weights() == [1.0]
    blocks = replace(decoder.config, encoder=EncoderSpec(kind="random", mixes_input=False))
    assert replace(decoder, config=blocks).layer_weights() == [0.0, 1.0]


def test_the_command_scores_what_is_trained_and_names_what_is_not(tree, capfd):
    words = ["--conf", tree / "recipe.yaml", "--data", tree / "dump", "--cells", tree / "exp"]
    words += ["--out", tree / "exp" / "scores.json", "--log_dir", tree / "log"]
    words += ["--nj", 2]
    assert main([str(word) for word in words]) == 0
    summary = json.loads((tree / "exp" / "scores.json").read_text())
    assert [row["task"] for row in summary["rows"]] == ["lid", "multi"]
    assert summary["not_scored"] == ["fbank/joint_10min_lr0.01_seed1"]
    (failed,) = summary["failed"]
    assert failed["reason"] == "not trained: joint: the loss is nan at step 7"
    assert all(cell["cost"]["seconds"] > 0 for cell in summary["cells"])
    assert {cell["cost"]["steps"] for cell in summary["cells"]} == {100}
    assert {row["units"] for row in summary["rows"]} == {"characters"}
    assert [row["seeds"] for row in summary["rows"]] == [[1], [1]]
    assert list(summary["rows"][0]["lr_dev"]) == ["0.01"]
    others = "fbank/lid_10min_lr0.01_seed2, fbank/lid_10min_lr0.5_seed1"
    assert f"left out, not of this recipe: {others}" in capfd.readouterr().err
    assert main([str(word) for word in words]) == 0
    assert "up to date (2 units)" in capfd.readouterr().err


def test_a_cell_of_other_settings_is_not_scored_as_the_recipes(tree, tmp_path):
    by_task = {"multi": {"training": {"max_steps": 200}, "probe": {"num_blocks": 2}}}
    write_text(tmp_path / "other.yaml", recipe(by_task=by_task))
    words = ["--conf", tmp_path / "other.yaml", "--data", tree / "dump", "--cells", tree / "exp"]
    words += ["--out", tmp_path / "scores.json", "--log_dir", tmp_path / "log"]
    assert main([str(word) for word in words]) == 0
    summary = read_json(tmp_path / "scores.json")
    assert [row["task"] for row in summary["rows"]] == ["lid"]
    reasons = {one["cell"]: one["reason"] for one in summary["failed"]}
    assert reasons["fbank/multi_10min_lr0.01_seed1"] == (
        "not trained: only with other settings (probe.num_blocks is 1, not 2); run stage 11 "
        "(finetune), or give the --conf it was trained with"
    )


def test_a_corrupted_test_is_scored_beside_the_clean_one(tree, capfd):
    words = ["--conf", tree / "recipe.yaml", "--data", tree / "dump", "--cells", tree / "exp"]
    words += ["--out", tree / "exp" / "noisy.json", "--log_dir", tree / "log"]
    words = [str(word) for word in [*words, "--set", WITH_NOISY]]
    assert main(words) == 0
    folder = tree / "exp" / "fbank" / "lid_10min_lr0.01_seed1"
    score = read_json(folder / "score.json")
    assert (score["test"]["num_utts"], score["corrupted"]["noisy"]["num_utts"]) == (10, 6)
    assert len(written(folder / "hyp" / "noisy.tsv")) == 6
    rows = read_json(tree / "exp" / "noisy.json")["rows"]
    found = {row["task"]: row["corrupted"]["noisy"] for row in rows}
    assert found["lid"]["lid"]["values"] == [score["corrupted"]["noisy"]["lid"]]
    assert {"cer", "cer_normal", "cer_normal_macro", "worst15_cer"} < found["multi"].keys()
    capfd.readouterr()
    assert main(words) == 0
    assert "up to date (2 units)" in capfd.readouterr().err
    assert main(words[:-2]) == 0  # no longer asked for: scored again without it
    assert read_json(folder / "score.json")["corrupted"] == {}


def test_a_split_without_features_says_which_stage_makes_them(tree):
    folder = tree / "exp" / "fbank" / "lid_10min_lr0.01_seed1"
    write_split(tree / "dump/10min/late", 1)
    with pytest.raises(DataError, match=r"10min_late holds no features; run stage 11"):
        score_cell(folder, tree / "dump", ScoreConfig(), corrupted=("late",))


def test_a_probe_of_another_size_and_a_strange_configuration_are_refused(tree, tmp_path):
    source = tree / "exp" / "fbank" / "lid_10min_lr0.01_seed1"
    folder = tmp_path / "fbank" / source.name
    for name in ("vocabulary.txt", "config.yaml"):
        write_text(folder / name, (source / name).read_text())
    multi = tree / "exp" / "fbank" / "multi_10min_lr0.01_seed1" / "model.pth"
    (folder / "model.pth").write_bytes(multi.read_bytes())
    with pytest.raises(CheckpointError, match=r"model\.pth does not fit its config\.yaml"):
        CellDecoder.open(parse_cell(folder), tree / "dump", 40.0)
    write_text(folder / "config.yaml", "model: {}\n")
    with pytest.raises(ConfigError, match="cell is required in a cell's configuration"):
        CellDecoder.open(parse_cell(folder), tree / "dump", 40.0)


def test_a_cell_whose_scoring_fails_is_named_and_the_others_are_scored(tree, capfd, tmp_path):
    root = tmp_path / "broken"
    shutil.copytree(tree, root)
    multi = root / "exp" / "fbank" / "multi_10min_lr0.01_seed1"
    (multi / "model.pth").write_bytes(b"no model")
    words = ["--conf", root / "recipe.yaml", "--data", root / "dump", "--cells", root / "exp"]
    words += ["--out", root / "exp" / "scores.json", "--log_dir", root / "log"]
    assert main([str(word) for word in words]) == 3
    summary = json.loads((root / "exp" / "scores.json").read_text())
    assert [row["task"] for row in summary["rows"]] == ["lid"]
    reasons = {one["cell"]: one["reason"] for one in summary["failed"]}
    assert "model.pth" in reasons["fbank/multi_10min_lr0.01_seed1"]
    assert reasons["fbank/multi_10min_lr0.01_seed1"].startswith("not scored: ")
    assert "2 scored" not in capfd.readouterr().err


def test_a_model_without_its_marker_is_not_scored(tree, tmp_path):
    folder = tmp_path / "fbank" / "lid_10min_lr0.01_seed1"
    shutil.copytree(tree / "exp" / "fbank" / folder.name, folder)
    assert parse_cell(folder).is_trained
    (folder / ".cell.done").unlink()  # stage 11 began it again
    assert not parse_cell(folder).is_trained
    assert "run stage 11" in parse_cell(folder).why_not_trained
    write_text(folder / "failed.json", "{")
    assert "failed.json is damaged" in parse_cell(folder).why_not_trained


def test_dialects_are_scored_beside_the_test_where_there_are_some(tree, tmp_path):
    data, exp = tmp_path / "dump", tmp_path / "exp" / "fbank"
    shutil.copytree(tree / "dump", data)
    shutil.copytree(tree / "exp" / "fbank", exp)
    shutil.copytree(data / "10min" / "test", data / "10min" / "test_dialect")
    features = exp / "features" / "10min_test_dialect"
    shutil.copytree(exp / "features" / "10min_test", features)
    folder = exp / "lid_10min_lr0.01_seed1"
    score_cell(folder, data, ScoreConfig())
    test = read_json(folder / "score.json")["test"]
    assert test["dialect_lid"] == test["superb2_lid"] >= 90
    assert test["num_utts_dialect"] == 10
    assert test["intervals"]["dialect_lid"]
    assert (folder / "hyp" / "test_dialect.tsv").is_file()


def test_a_monolingual_cell_is_trained_on_one_corpus_and_scored_on_phones_of_all(tree, tmp_path):
    data, encoder = tmp_path / "dump", tmp_path / "exp" / "fbank"
    shutil.copytree(tree / "dump", data)
    shutil.copytree(tree / "exp" / "fbank" / "features", encoder / "features")
    write_json(data / "phones.json", {"dan": "a library 1.0"})
    for split in ("train", "dev", "test"):
        table = data / "10min" / split / "text"
        utts = [line.split()[0] for line in table.read_text().splitlines()]
        phones = "".join(f"{utt} h ai d u\n" for utt in utts if utt.startswith("dan"))
        write_text(table.with_name("text_phones"), phones)
    config = cell_config("mono-dan-real", [])
    folder = encoder / config.name
    run_cell(folder, data, encoder / "features", None, config)
    score_cell(folder, data, ScoreConfig())
    score = read_json(folder / "score.json")
    assert (score["task"], score["units"]) == ("mono-dan-real", "phones")
    assert (score["dev"]["num_utts"], score["test"]["num_utts"]) == (2, 5)
    assert score["test"]["cer_by_corpus"].keys() == {"real", "voices"}
    assert score["test"]["cer_by_language"]["dan"]["characters"] == 5 * 4  # phones
    assert score["test"]["cer"] < 50
    rows = written(folder / "hyp" / "test.tsv")
    assert {row.reference for row in rows} == {"h ai d u"}
    assert set(" ".join(row.hypothesis for row in rows).split()) <= {"h", "ai", "d", "u"}
