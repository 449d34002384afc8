"""Stage 9 as a whole: every form of the averaged model loads again, and export.json lists it."""

import importlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from tiny_dump import make_dump
from tiny_run import make_run

from espnet2.asr.config import EncoderSpec
from espnet2.bin import export as command
from espnet2.ssl.checkpoint_files import read_checkpoint
from espnet2.ssl.config import SSLModelConfig, load_config
from espnet2.ssl.interop import our_names
from espnet2.tasks.ssl import SSLTask
from espnet2.train.checkpoint import load_tensors, step_path
from espnet2.train.export import stage
from espnet2.train.export.layouts import MODELS
from espnet2.train.export.reload import Check, hidden_states
from espnet2.train.export.stage import export
from espnet2.train.feature_units import deciding_files
from espnet2.utils.config import load_yaml
from espnet2.utils.errors import CheckpointError, ConfigError
from espnet2.utils.files import read_json, sha256_file, write_json
from espnet2.utils.units import is_done

WEIGHTS = {
    "xeus_checkpoint_old.pth", "xeus_checkpoint_new.pth", "model.safetensors",
    "hf/model.safetensors", "espnet_model.zip", "espnet/xeus_checkpoint_new.pth",
}  # fmt: skip
TEXTS = {
    "config.yaml", "config_new.yaml", "espnet/config.yaml", "hf/config.json",
    "hf/preprocessor_config.json", "hf/README.md",
}  # fmt: skip
FOR_ESPNET = {
    "config_new.yaml", "espnet/config.yaml", "espnet/xeus_checkpoint_new.pth", "espnet_model.zip",
}  # fmt: skip


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    return make_dump(tmp_path_factory.mktemp("dump"))


@pytest.fixture(scope="module")
def run(dump, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("exp") / "ssl_tiny", dump)


@pytest.fixture(scope="module")
def exported(run, dump):
    """The run's export, of its last two intermediate checkpoints."""
    export(run, dump, run / "export", {"average_last": 2})
    return run / "export"


@pytest.fixture(scope="module")
def mean(run):
    """The mean of their weights."""
    states = [load_tensors(step_path(run / "intermediate", step))["model"] for step in (4, 6)]
    return {name: (states[0][name].double() + states[1][name].double()) / 2 for name in states[0]}


@pytest.mark.parametrize(
    "name",
    ["xeus_checkpoint_old.pth", "xeus_checkpoint_new.pth", "model.safetensors", "hf",
     "espnet/xeus_checkpoint_new.pth"],
)  # fmt: skip
def test_every_form_loads_at_the_door_with_the_mean_of_the_last_checkpoints(exported, mean, name):
    model, _ = SSLTask.build_model_from_file(None, exported / name)
    for key, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor.double(), mean[key], rtol=0, atol=1e-7)


def test_the_hugging_face_folder_stands_alone(exported, tmp_path):
    folder = shutil.copytree(exported / "hf", tmp_path / "somewhere/else")
    model, args = SSLTask.build_model_from_file(None, folder)
    again, _ = SSLTask.build_model_from_file(folder / "config.json", folder / "model.safetensors")
    assert (args.model_type, args.architectures) == ("xeus", ["XeusModel"])
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[key])


def test_the_hugging_face_configuration_is_the_whole_model_with_every_default(exported, capsys):
    yaml, json_ = (load_config(exported / name) for name in ("config.yaml", "hf/config.json"))
    assert SSLModelConfig.from_espnet(json_) == SSLModelConfig.from_espnet(yaml)
    assert capsys.readouterr().err == ""  # no key of it is unknown
    assert json_["encoder_conf"]["linear_units"] == 2048
    assert json_["masker_conf"]["mask_selection"] == "static"
    assert json_["xeus_version"]


def test_hugging_faces_own_tools_read_the_folder(exported):
    transformers = pytest.importorskip("transformers")
    importlib.import_module("espnet2.hf")  # tells transformers of XeusFeatureExtractor
    extractor = transformers.AutoFeatureExtractor.from_pretrained(exported / "hf")
    audio = np.array([0.5, -0.25, 0.125], np.float32)
    values = extractor(audio, sampling_rate=16000)["input_values"][0]
    assert values.tolist() == audio.tolist()  # the model alone normalises
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard.load(exported / "hf/README.md").data.to_dict()
    assert (card["library_name"], card["language"]) == ("espnet", ["en"])


def test_the_safetensors_tell_the_steps_and_the_configuration(exported):
    found = read_checkpoint(exported / "model.safetensors")
    assert found.step == 6
    content = (exported / "model.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert list(header["__metadata__"].items()) == [
        ("config_sha256", sha256_file(exported / "config.yaml")),
        ("format", "pt"), ("step", "6"), ("steps", "4 6"),
    ]  # fmt: skip


def test_the_export_lists_every_file_with_its_hash_and_what_was_compared(exported):
    report = read_json(exported / "export.json")
    assert (report["steps"], report["average"]) == ([4, 6], "last")
    assert report["checked_on"]["utt_id"] == "valid00"
    assert set(report["files"]) == WEIGHTS | TEXTS
    for name, about in report["files"].items():
        assert about["sha256"] == sha256_file(exported / name)
        assert about.get("max_abs_difference") == (0.0 if name in WEIGHTS else None)
    unlisted = {"export.json", "weights.json", "provenance.json"}
    files = [path for path in exported.rglob("*") if path.is_file()]
    assert {str(path.relative_to(exported)) for path in files} == WEIGHTS | TEXTS | unlisted
    assert "time" in read_json(exported / "provenance.json")
    assert read_json(exported / "weights.json") == {
        "steps": [4, 6],
        "sha256": {name: report["files"][name]["sha256"] for name in MODELS.values()},
    }
    tokens = load_yaml(exported / "config.yaml")["token_list"]
    assert tokens == ["0", "1", "2", "3", "<unk>", "<sos/eos>"]


def test_an_export_made_again_has_the_same_bytes(run, dump, exported, tmp_path):
    again = export(run, dump, tmp_path, {"average_last": 2})
    assert again == read_json(exported / "export.json")
    assert (tmp_path / "hf/model.safetensors").samefile(tmp_path / "model.safetensors")
    name = "xeus_checkpoint_new.pth"
    assert (tmp_path / "espnet" / name).samefile(tmp_path / name)


def test_an_export_that_was_killed_is_made_again_and_leaves_nothing_behind(
    run, dump, exported, tmp_path
):
    code = f"""
from pathlib import Path
from espnet2.train.export.stage import export
while True:
    export(Path({str(run)!r}), Path({str(dump)!r}), Path({str(tmp_path)!r}), {{"average_last": 2}})
"""
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        while not (tmp_path / ".unpacked").exists():  # the zip is being read back
            assert process.poll() is None
        process.kill()
    again = export(run, dump, tmp_path, {"average_last": 2})
    assert again == read_json(exported / "export.json")
    names = [sorted(p.name for p in folder.rglob("*")) for folder in (tmp_path, exported)]
    assert names[0] == names[1]


def test_another_licence_changes_the_card_and_not_what_decides_features(run, dump, tmp_path):
    before = export(run, dump, tmp_path, {"average_last": 2})
    decides = (tmp_path / "weights.json").read_bytes()
    after = export(run, dump, tmp_path, {"average_last": 2, "licence": "cc-by-4.0"})
    changed = {n for n in after["files"] if after["files"][n] != before["files"][n]}
    assert changed == {"hf/README.md"}
    assert (tmp_path / "weights.json").read_bytes() == decides


def test_probes_hang_on_what_the_encoder_computes_with_and_not_on_the_card(exported):
    assert deciding_files(EncoderSpec(kind="export"), exported) == [
        exported / "config.yaml", exported / "weights.json",
    ]  # fmt: skip


def test_the_best_are_averaged_on_request(run, dump, tmp_path):
    exp = shutil.copytree(run, tmp_path / "exp")
    (exp / "intermediate").rename(exp / "best")
    write_json(exp / "best/best.json", [{"step": s, "loss": s % 4 + 0.5} for s in (4, 2, 6)])
    report = export(exp, dump, tmp_path / "out", {"average": "best", "average_last": 2})
    assert (report["steps"], report["average"]) == ([2, 4], "best")
    state = our_names(read_checkpoint(tmp_path / "out/model.safetensors").tensors)
    saved = [load_tensors(step_path(exp / "best", step))["model"] for step in (2, 4)]
    name = "encoder.after_norm.weight"
    assert torch.equal(state[name], (saved[0][name] + saved[1][name]) / 2)


def test_a_model_that_espnet_lacks_is_exported_without_its_folder_and_zip(
    run, dump, tmp_path, capsys
):
    out = tmp_path / "out"
    export(run, dump, out, {})
    encoder = {**load_yaml(run / "config.yaml")["encoder_conf"], "pos_enc_layer_type": "none"}
    encoder["input_layer"] = "linear"
    other = make_run(tmp_path / "exp", dump, encoder_conf=encoder)
    capsys.readouterr()
    report = export(other, dump, out, {})
    assert set(report["files"]) == (WEIGHTS | TEXTS) - FOR_ESPNET
    for name in (*FOR_ESPNET, "espnet"):
        assert not (out / name).exists(), name
    assert "are left out: encoder_conf: ESPnet has no pos_enc_layer_type none\n" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("writer", "name"),
    [("save_tensors", "xeus_checkpoint_old.pth"), ("save_safetensors", "model.safetensors")],
)
def test_a_file_with_other_weights_fails_the_stage_in_one_line(
    run, dump, tmp_path, monkeypatch, writer, name
):
    """A writer that rounds to bfloat16 stands for one that is broken."""
    whole = getattr(stage, writer)

    def rounded(path, state, *more):
        whole(path, {k: v.bfloat16() for k, v in state.items()}, *more)

    monkeypatch.setattr(stage, writer, rounded)
    with pytest.raises(CheckpointError) as error:
        export(run, dump, tmp_path, {})
    start, _, end = str(error.value).partition(" gives other hidden states when read back: ")
    assert start == str(tmp_path / name)
    assert end.endswith(" on valid00")
    assert not (tmp_path / "export.json").exists()


def test_a_configuration_of_another_model_is_noticed(exported):
    """With another activation the weights fit, and the features differ."""
    model, _ = SSLTask.build_model_from_file(None, exported / "hf")
    speech = torch.randn(1, 8000, generator=torch.Generator().manual_seed(1))
    check = Check(utt_id="u", speech=speech, layers=hidden_states(model, speech))
    assert check.difference(exported / "hf") == 0
    path = exported / "hf/config.json"
    config, text = read_json(path), path.read_text()
    config["frontend_conf"]["normalize_audio"] = False
    try:
        write_json(path, config)
        with pytest.raises(CheckpointError, match="hf gives other hidden states"):
            check.difference(exported / "hf")
    finally:
        path.write_text(text)


@pytest.mark.parametrize(("average", "folder"), [("last", "intermediate"), ("best", "best")])
def test_nothing_to_export_is_one_sentence(dump, tmp_path, average, folder):
    with pytest.raises(
        CheckpointError, match=f"{folder} holds no checkpoint; run the pretrain stage"
    ):
        export(tmp_path, dump, tmp_path / "export", {"average": average})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"average": "mean"}, "export: average must be one of last, best, got 'mean'"),
        ({"average_last": 0}, "export: average_last must be at least 1, got 0"),
        ({"licence": "CC BY 4.0"}, "export: licence must be one word of Hugging Face's list"),
        ({"license": "mit"}, "export: license is not a known key; did you mean 'licence'"),
    ],
)
def test_settings_that_cannot_be_used_are_one_sentence(dump, tmp_path, config, message):
    with pytest.raises(ConfigError, match=message):
        export(tmp_path, dump, tmp_path / "export", config)


def test_the_command_is_done_once_and_again_where_a_corpus_changed(run, dump, tmp_path, capsys):
    (tmp_path / "recipe.yaml").write_text("export: {average_last: 1}\n")
    write_json(tmp_path / "data/toy/corpus.json", {"licence": "CC0"})
    words = [
        "--conf", tmp_path / "recipe.yaml", "--dump", dump, "--data", tmp_path / "data",
        "--exp", run, "--out", tmp_path / "out", "--log_dir", tmp_path / "log",
    ]  # fmt: skip
    arguments = [str(word) for word in words]
    assert command.main(arguments) == 0
    card = (tmp_path / "out/hf/README.md").read_text()
    assert "| toy | 0.0016 | 12 | CC0 | not stated |" in card
    assert f"python3 -m espnet2.bin.export --conf {tmp_path}/recipe.yaml" in card
    assert command.main(arguments) == 0
    assert "up to date (1 unit)" in capsys.readouterr().err
    write_json(tmp_path / "data/toy/corpus.json", {"licence": "CC BY 4.0"})
    assert not is_done(command.export_unit(command.parse(arguments), "another command"))


def test_paths_in_the_repository_are_told_relative_to_the_folder():
    conf = command.REPOSITORY / "conf/mini.yaml"
    told = command.command_line(["--conf", str(conf), "--out", "/a b"])
    assert str(command.REPOSITORY) not in told
    assert told.endswith("conf/mini.yaml --out '/a b'")
