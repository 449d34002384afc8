"""Cells of the matrix: what they are, that they learn, that a killed one ends the same."""

import dataclasses
import importlib.util
import os
from pathlib import Path

import pytest
import torch
import yaml

from espnet2.asr.config import BatchConfig, EncoderSpec, ProbeConfig, TuneConfig
from espnet2.bin import finetune as command
from espnet2.tasks.asr import ASRTask
from espnet2.train import finetune as module
from espnet2.train.cells import CellConfig, cells, finetune_config, loop_config
from espnet2.train.checkpoint import load_tensors, saved_steps
from espnet2.train.feature_units import Places, computed_unit
from espnet2.train.metrics import read_metrics
from espnet2.utils.config import load_yaml
from espnet2.utils.errors import CheckpointError, ConfigError

# The builder of tiny data belongs to the tests of espnet2.asr.
SPEC = importlib.util.spec_from_file_location(
    "tiny_asr_for_cells", Path(__file__).parents[1] / "asr" / "tiny_asr.py"
)
tiny_asr = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny_asr)

SECTION = {
    "encoders": {"fbank": {"kind": "fbank"}, "random": {"kind": "random"}},
    "tasks": ["multi", "lid", "joint"],
    "learning_rates": [0.001, 0.01],
    "corpora": {"joint": ["real"]},
    "training": {"max_steps": 6, "scheduler": "tristagelr"},
    "by_task": {"lid": {"training": {"max_steps": 4}, "probe": {"output_size": 64}}},
}


def tiny_cell(**changes):
    settings = {
        "encoder_name": "fbank",
        "encoder": EncoderSpec(kind="fbank"),
        "task": "joint",
        "track": "10min",
        "learning_rate": 0.003,
        "seed": 1,
        "corpora": [],
        "features": finetune_config(SECTION, "test").features,
        "probe": ProbeConfig(
            conv_channels=4, output_size=16, attention_heads=2, linear_units=16, num_blocks=1
        ),
        "tune": TuneConfig(),
        "batches": BatchConfig(batch_s=4),
        "training": {
            "max_steps": 6, "valid_interval_steps": 3, "save_interval_steps": 2, "num_workers": 0,
            "train_dtype": "float32",
        },
        "average_best": 2,
    }  # fmt: skip
    return CellConfig(**{**settings, **changes})


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny_asr.make_cell_data(tmp_path_factory.mktemp("cells"))


def run(source, out, **changes):
    return module.run_cell(out, source.data, source.features, None, tiny_cell(**changes))


def weights(out):
    return load_tensors(out / "model.pth")["model"]


def test_the_matrix_is_every_combination_with_the_long_tasks_first():
    config = finetune_config(SECTION, "test")
    listed = list(cells(config))
    assert len(listed) == 2 * 3 * 2
    assert [cell.task for cell in listed] == ["multi"] * 4 + ["joint"] * 4 + ["lid"] * 4
    assert listed[0].name == "multi_10min_lr0.001_seed1"
    assert listed[4].corpora == ["real"]
    assert listed[0].corpora == []
    assert (listed[0].probe.output_size, listed[-1].probe.output_size) == (256, 64)
    assert loop_config(listed[-1], 1).schedule().max_steps == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ["asr"]}, "task asr is not one of mono, multi, lid, joint"),
        ({"corpora": {"lid2": []}}, "task lid2 is not one of"),
        ({"encoders": {}}, "encoders must be given"),
        ({"seeds": [1, 1]}, r"hold nothing twice, got \[1, 1\]"),
        ({"by_task": {"lid": {"seeds": [2]}}}, "by_task may change probe, tune, batches, training"),
        ({"training": {"max_step": 1}}, "max_step is not a known key; did you mean 'max_steps'"),
        (
            {"training": {"max_steps": 1, "valid_interval_steps": 0}},
            "must be at least 1: dev picks",
        ),
        ({"probe": {"attention_heads": 7}}, "must be even and a multiple of attention_heads"),
        ({"encoders": {"x": {"kind": "hubert"}}}, "kind must be one of export, random, fbank"),
    ],
)
def test_a_matrix_that_cannot_run_is_refused_before_any_work(changes, message):
    with pytest.raises(ConfigError, match=message):
        finetune_config({**SECTION, **changes}, "test")


def test_a_cell_learns_and_leaves_what_scoring_needs(source, tmp_path):
    result = run(source, tmp_path / "cell")
    rows = read_metrics(tmp_path / "cell/metrics.jsonl")
    losses = [row["loss"] for row in rows if row["split"] == "valid"]
    assert losses[1] < losses[0]
    assert result["dev_loss"] == losses[1]
    model, args = ASRTask.build_model_from_file(model_file=tmp_path / "cell")
    assert not model.training
    assert model.vocabulary.tokens[-3:] == ["[dan]", "[fra]", "[spa]"]
    assert args.data["root"] == str(source.data)
    assert torch.equal(model.model.probe.output.weight, weights(tmp_path / "cell")["output.weight"])


def test_the_model_is_the_mean_of_the_checkpoints_best_on_dev(source, tmp_path):
    run(source, tmp_path / "cell")
    kept = saved_steps(tmp_path / "cell/intermediate")
    assert load_tensors(tmp_path / "cell/model.pth")["steps"] == kept
    assert len(kept) == 2
    names = [path.name for path in (tmp_path / "cell/intermediate").iterdir()]
    assert sorted(names) == [f"step_{step:07d}.{kind}" for step in kept for kind in ("json", "pth")]
    assert not (tmp_path / "cell/best").exists()
    copies = [
        load_tensors(tmp_path / f"cell/intermediate/step_{step:07d}.pth")["model"] for step in kept
    ]
    mean = (copies[0]["output.bias"].double() + copies[1]["output.bias"].double()) / 2
    assert torch.equal(weights(tmp_path / "cell")["output.bias"], mean.float())


@pytest.mark.parametrize("killed_at", [1, 5])
def test_a_killed_cell_ends_with_the_same_bits(source, tmp_path, monkeypatch, killed_at):
    run(source, tmp_path / "whole")
    batches, getitem = [], module.TrainBatches.__getitem__

    def kill(self, step):
        batches.append(step)
        if len(batches) == killed_at:
            raise KeyboardInterrupt
        return getitem(self, step)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module.TrainBatches, "__getitem__", kill)
        run(source, tmp_path / "killed")
    assert not (tmp_path / "killed/model.pth").exists()
    run(source, tmp_path / "killed")
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_other_settings_start_the_cell_over(source, tmp_path):
    run(source, tmp_path / "changed", seed=2)
    (tmp_path / "changed/score.json").write_text("{}")
    run(source, tmp_path / "changed")
    assert not (tmp_path / "changed/score.json").exists()
    steps = [row["step"] for row in read_metrics(tmp_path / "changed/metrics.jsonl")]
    assert steps[0] == 2  # before the first checkpoint
    assert load_yaml(tmp_path / "changed/config.yaml")["cell"]["seed"] == 1


def test_a_start_over_that_is_killed_is_begun_again(tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text("cell: 1\n")
    for name in ("a.pth", "z.pth", "dropped.tsv"):
        (tmp_path / name).touch()

    def kill(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", kill)
        module.start_over_if_changed(tmp_path, {"cell": 2})
    removed, unlink = [], Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda path: (removed.append(path.name), unlink(path)))
    module.start_over_if_changed(tmp_path, {"cell": 2})
    assert sorted(removed[:-1]) == ["a.pth", "z.pth"]
    assert removed[-1] == "config.yaml"


def test_the_corpora_and_languages_decide_a_cell(source, tmp_path):
    collators, _ = module.prepare(tmp_path, source, tiny_cell())
    inputs = module.cell_settings(source, tiny_cell(), collators["train"])["inputs"]
    names = ("features", "text", "utt2corpus", "utt2lang")
    assert sorted(inputs) == [f"{split}/{name}" for split in ("dev", "train") for name in names]


def test_audio_that_was_replaced_makes_the_features_anew(source, tmp_path):
    config = finetune_config(SECTION, "test")
    places = Places(data=tmp_path, export=None, out=tmp_path / "out")
    wav = tmp_path / "a.wav"
    wav.write_bytes(b"one")
    (tmp_path / "10min/train").mkdir(parents=True)
    (tmp_path / "10min/train/wav.scp").write_text(f"a {wav}\n")
    seen = set()
    for time_ns in (1, 1, 2):
        os.utime(wav, ns=(0, time_ns))
        fbank = config.encoders["fbank"]
        unit = computed_unit(config, "fbank", fbank, "10min", "train", places)
        seen.add(unit.options["audio"])
    assert len(seen) == 2


def test_an_untrained_cell_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="holds no model.pth: the cell is not trained"):
        ASRTask.build_model_from_file(tmp_path)


def test_the_command_asks_for_an_export_where_an_encoder_needs_one(tmp_path):
    conf = tmp_path / "conf.yaml"
    conf.write_text(yaml.safe_dump({"finetune": SECTION}))
    with pytest.raises(ConfigError, match="encoder random needs an exported model: give --export"):
        command.main(["--conf", str(conf), "--data", str(tmp_path), "--out", str(tmp_path / "o")])


def test_seeds_on_the_command_line_multiply_the_cells():
    config = dataclasses.replace(finetune_config(SECTION, "test"), seeds=[1, 2, 3])
    assert {cell.seed for cell in cells(config)} == {1, 2, 3}
