"""A trained cell from its files: what it hears, and what it refuses."""

import dataclasses
import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from espnet2.asr.config import TuneConfig
from espnet2.asr.features import write_features
from espnet2.data.kaldi import read_kaldi
from espnet2.evaluation.cells import find_cells
from espnet2.evaluation.decode import CellDecoder
from espnet2.tasks.asr import ASRTask
from espnet2.train import finetune
from espnet2.utils.config import load_yaml, save_yaml
from espnet2.utils.errors import CheckpointError, ConfigError, DataError

# The builder of tiny data belongs to the tests of espnet2.asr.
SPEC = importlib.util.spec_from_file_location(
    "tiny_asr_for_tasks", Path(__file__).parents[1] / "asr" / "tiny_asr.py"
)
tiny_asr = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny_asr)

CELL = tiny_asr.CELL


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(cell's folder, root of its data), on a random encoder."""
    root = tmp_path_factory.mktemp("door")
    return tiny_asr.train(root, CELL), root / "dump"


def waves_of(data):
    utterances = read_kaldi(data / "10min/test")
    return {u.utt_id: soundfile.read(u.source, dtype="float32")[0] for u in utterances}


def test_audio_is_transcribed_as_stage_12_decodes_its_features(trained):
    folder, data = trained
    model, args = ASRTask.build_model_from_file(model_file=folder)
    assert (args.units, args.cell["task"]) == ("characters", "joint")
    assert not model.training
    waves = waves_of(data)
    texts = dict(zip(waves, model.transcribe(list(waves.values())), strict=True))
    assert any(text.startswith("[") and len(text) > 6 for text in texts.values())
    [cell] = find_cells(folder.parents[1])
    assert texts == CellDecoder.open(cell, data, batch_s=8).decode("test")


def test_the_company_and_the_kind_of_array_play_no_role(trained, monkeypatch):
    model, _ = ASRTask.build_model_from_file(trained[0] / "config.yaml", trained[0] / "model.pth")
    waves = list(waves_of(trained[1]).values())
    sizes, one_batch = [], model.one_batch
    monkeypatch.setattr(model, "one_batch", lambda x: sizes.append(len(x)) or one_batch(x))
    together = model.transcribe([waves[0], np.zeros(300, np.float32), waves[3], np.zeros(0)])
    assert together[1] == together[3] == ""
    assert sizes == [1, 1]  # on a CPU: bfloat16 rounds otherwise in another shape
    assert together[::2] == [model.transcribe([waves[i]])[0] for i in (0, 3)]
    assert model.transcribe([torch.from_numpy(waves[0]).double()]) == [together[0]]
    assert model.transcribe([]) == []


@pytest.mark.parametrize("wave", [np.zeros(800, np.int16), np.zeros((2, 800)), torch.zeros(1, 800)])
def test_what_is_no_wave_is_refused(trained, wave):
    model, _ = ASRTask.build_model_from_file(model_file=trained[0])
    with pytest.raises(DataError, match=r"wave 1 is (int16|float\d\d) .*; give \(samples,\) of"):
        model.transcribe([np.zeros(800), wave])


def test_a_cell_that_is_not_whole_is_refused(trained, tmp_path):
    with pytest.raises(ConfigError, match="give the cell's folder as model_file"):
        ASRTask.build_model_from_file()
    with pytest.raises(CheckpointError, match="holds no model.pth: the cell is not trained"):
        ASRTask.build_model_from_file(model_file=tmp_path)
    shutil.copytree(trained[0], tmp_path / "cell")
    settings = load_yaml(tmp_path / "cell/config.yaml")
    save_yaml(tmp_path / "cell/config.yaml", {**settings, "model": {
        **settings["model"], "num_tokens": 5}})  # fmt: skip
    with pytest.raises(CheckpointError, match=r"model.pth does not fit its config.yaml: .*output"):
        ASRTask.build_model_from_file(model_file=tmp_path / "cell")
    del settings["model"]
    save_yaml(tmp_path / "cell/config.yaml", settings)
    with pytest.raises(ConfigError, match="model is required in a cell's configuration"):
        ASRTask.build_model_from_file(model_file=tmp_path / "cell")


def test_an_encoder_that_moved_is_named_anew(trained, tmp_path):
    shutil.copytree(trained[0], tmp_path / "cell")
    path = tmp_path / "cell/config.yaml"
    settings = load_yaml(path)
    export = settings["data"]["export"]
    save_yaml(path, {**settings, "data": {**settings["data"], "export": "/nowhere"}})
    with pytest.raises((ConfigError, OSError), match="/nowhere"):
        ASRTask.build_model_from_file(model_file=tmp_path / "cell")
    wave = next(iter(waves_of(trained[1]).values()))
    model, _ = ASRTask.build_model_from_file(model_file=tmp_path / "cell", export=export)
    first, _ = ASRTask.build_model_from_file(model_file=trained[0])
    assert model.transcribe([wave]) == first.transcribe([wave])


def test_the_yaml_for_espnet_says_what_the_cell_is(trained, tmp_path):
    folder = tmp_path / "cell"
    shutil.copytree(trained[0], folder)
    settings = load_yaml(folder / "config.yaml")
    probe = dataclasses.replace(CELL.probe, conv_channels=None)
    settings["cell"]["probe"] |= {"conv_channels": None}
    save_yaml(folder / "config.yaml", settings)
    ASRTask.write_espnet_yaml(folder, "encoder/model.pth", tmp_path / "train.yaml")
    keys = load_yaml(tmp_path / "train.yaml")
    assert keys["token_list"][:2] == ["<blank>", "<unk>"]
    assert keys["token_list"][-4:] == ["[dan]", "[fra]", "[spa]", "<sos/eos>"]
    assert keys["non_linguistic_symbols"] == ["[dan]", "[fra]", "[spa]"]
    assert keys["encoder_conf"]["input_layer"] == "conv2d2"
    assert keys["encoder_conf"]["output_size"] == probe.output_size
    assert keys["preencoder_conf"] == {"input_size": 16, "output_size": 80}
    assert keys["optim_conf"]["lr"] == 0.01
    assert keys["frontend_conf"]["frontend_conf"] == {"path_or_url": "encoder/model.pth"}
    assert keys["specaug"] is None


def test_a_probe_that_espnet_does_not_have_is_refused(trained, tmp_path):
    with pytest.raises(ConfigError, match="as many channels .* conv_channels is 4"):
        ASRTask.write_espnet_yaml(trained[0], "model.pth", tmp_path / "train.yaml")


def test_layers_divided_by_their_size_are_heard_so_in_every_place(trained, tmp_path):
    folder, data = trained
    export, features = folder.parents[1] / "export", tmp_path / "random/features"
    cell = dataclasses.replace(
        CELL, features=dataclasses.replace(CELL.features, normalise="std", keep="never")
    )
    for split in ("train", "dev", "test"):  # not stored: the encoder runs in every step
        write_features(
            data / "10min" / split, cell.encoder, export, cell.features, "cpu",
            features / f"10min_{split}",
        )  # fmt: skip
    out = tmp_path / "random" / cell.name
    finetune.run_cell(out, data, features, export, cell)
    std = load_yaml(out / "config.yaml")["model"]["layer_std"]
    assert len(std) == 3
    assert max(std) > 1.5 * min(std)
    model, _ = ASRTask.build_model_from_file(model_file=out)
    torch.testing.assert_close(model.model.mix.scale, 1 / torch.tensor(std))
    waves = waves_of(data)
    texts = dict(zip(waves, model.transcribe(list(waves.values())), strict=True))
    [found] = find_cells(tmp_path)
    assert CellDecoder.open(found, data, batch_s=8).decode("test") == texts
    with pytest.raises(ConfigError, match="features.normalise is std"):
        ASRTask.write_espnet_yaml(out, "model.pth", tmp_path / "train.yaml")


def test_a_cell_that_changed_its_encoder_is_heard_through_what_it_became(trained, tmp_path):
    folder, data = trained
    tune = TuneConfig(encoder="layers", layers=[2], encoder_lr=0.01)
    training = {**CELL.training, "max_steps": 6, "valid_interval_steps": 6}
    cell = dataclasses.replace(CELL, tune=tune, seed=2, training=training)
    shutil.copytree(folder.parent / "features", tmp_path / "random/features")
    out = tmp_path / "random" / cell.name
    export = folder.parents[1] / "export"
    finetune.run_cell(out, data, tmp_path / "random/features", export, cell)
    model, _ = ASRTask.build_model_from_file(model_file=out / "model.pth")
    frozen, _ = ASRTask.build_model_from_file(model_file=folder)
    ours, theirs = (m.model.encoder.model.encoder.encoders for m in (model, frozen))
    changed = [
        any(not torch.equal(a, b) for a, b in zip(x.parameters(), y.parameters(), strict=True))
        for x, y in zip(ours, theirs, strict=True)
    ]
    assert changed == [False, True]
    waves = waves_of(data)
    [found] = find_cells(tmp_path)
    decoded = CellDecoder.open(found, data, batch_s=8).decode("test")
    assert dict(zip(waves, model.transcribe(list(waves.values())), strict=True)) == decoded
