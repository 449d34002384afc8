"""What teacher ``hf`` reads from a folder, and what it refuses."""

import os
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_hf import edit_json, make_extractor, make_model, save
from tiny_tokens import tones

from espnet2.tokens.teachers.registry import build_teacher, teacher_files
from espnet2.utils.errors import CheckpointError, ConfigError


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return save(
        tmp_path_factory.mktemp("large"), make_model("wavlm_large"), make_extractor("wavlm_large")
    )


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "model")


def build(folder, layer=2):
    return build_teacher("hf", {"model": str(folder), "layer": layer})


def frames(folder):
    return build(folder).frames([tones(8000, 0).astype(np.float32) / 32768]).values


def as_bin(folder, values=None):
    """Weights as older folders have them: a pickle."""
    values = load_file(folder / "model.safetensors") if values is None else values
    torch.save(values, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def test_the_identity_is_layer_weights_and_normalisation_not_the_path(original, folder):
    identity = build(folder).identity()
    assert identity == build(original).identity()
    assert (identity["teacher"], identity["layer"], identity["normalise_audio"]) == ("hf", 2, True)
    assert identity != build(folder, layer=1).identity()
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layers.0.final_layer_norm.bias"][0] += 1e-3
    save_file(weights, folder / "model.safetensors")
    changed = build(folder).identity()
    assert changed["checkpoint_sha256"] != identity["checkpoint_sha256"]
    assert changed | {"checkpoint_sha256": identity["checkpoint_sha256"]} == identity


def test_a_fingerprint_covers_configurations_and_weights(folder):
    names = ["config.json", "preprocessor_config.json", "model.safetensors"]
    settings = {"model": str(folder), "layer": 2}
    assert teacher_files("hf", settings) == [folder / name for name in names]
    as_bin(folder)
    assert teacher_files("hf", settings)[2:] == [folder / "pytorch_model.bin"]


def test_weights_in_parts_are_read_and_hashed_together(original, folder):
    (folder / "model.safetensors").unlink()
    extractor = make_extractor("wavlm_large")
    save(folder, make_model("wavlm_large"), extractor, max_shard_size="20KB")
    parts = sorted(folder.glob("model-*.safetensors"))
    assert len(parts) > 2
    assert teacher_files("hf", {"model": str(folder), "layer": 2})[2:] == parts
    assert torch.equal(frames(folder), frames(original))
    before = build(folder).identity()["checkpoint_sha256"]
    parts[-1].unlink()
    with pytest.raises(ConfigError, match=f"{parts[-1].name} is missing; fetch the model once"):
        build(folder)
    assert len(before) == 64


def test_a_pickle_of_tensors_is_read(original, folder):
    as_bin(folder)
    assert torch.equal(frames(folder), frames(original))


def test_names_from_before_torch_had_parametrisations_are_read(original, folder):
    weights = load_file(folder / "model.safetensors")
    for number, letter in enumerate("gv"):
        stem = "encoder.pos_conv_embed.conv."
        weights[f"{stem}weight_{letter}"] = weights.pop(
            f"{stem}parametrizations.weight.original{number}"
        )
    save_file(weights, folder / "model.safetensors")
    assert torch.equal(frames(folder), frames(original))


class Command:
    """What a hostile pickle holds."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_code_is_refused(folder, tmp_path):
    as_bin(folder, {"encoder": Command(tmp_path / "ran")})
    with pytest.raises(CheckpointError, match="more than tensors.* save its tensors as model.safe"):
        build(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("layer", [0, 4])
def test_a_missing_layer_is_refused(folder, layer):
    with pytest.raises(ConfigError, match=f"layer must be 1 to 3 for .*model, got {layer}$"):
        build(folder, layer)


def test_a_missing_folder_says_how_to_fetch_it(tmp_path):
    command = f"no such folder; fetch the model once: hf download OWNER/NAME --local-dir {tmp_path}"
    with pytest.raises(ConfigError, match=command):
        build(tmp_path / "hubert")
    with pytest.raises(ConfigError, match=command):
        teacher_files("hf", {"model": str(tmp_path / "hubert"), "layer": 2})


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ConfigError, match=f"has no {name}.*hf download"):
        build(folder)


@pytest.mark.parametrize(
    ("file", "changes", "problem"),
    [
        ("config.json", {"model_type": "bert"}, "model of type 'bert'; only hubert, wavlm, wa"),
        ("config.json", {"model_type": None}, "config.json: names no model_type"),
        ("config.json", {"conv_stride": [5, 2, 2, 2, 2, 2, 1]}, "step 160 samples a frame, labels"),
        ("preprocessor_config.json", {"sampling_rate": 8000}, "hears 8000 Hz, audio here has 160"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_a_teacher_is_refused(folder, file, changes, problem):
    edit_json(folder / file, **changes)
    with pytest.raises(ConfigError, match=problem) as caught:
        build(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model_type": "wav2vec2"}, "they have encoder.layers.0.attention.gru_rel_pos_const"),
        ({"intermediate_size": 64}, "have another shape of encoder.layers.0.feed_forward.interm"),
        ({"conv_bias": False}, "they have feature_extractor.conv_layers.0.conv.bias"),
    ],
)  # fmt: skip
def test_weights_of_another_model_are_refused(folder, changes, problem):
    edit_json(folder / "config.json", **changes)
    with pytest.raises(CheckpointError, match=problem):
        build(folder)


def test_weights_that_are_missing_are_not_made_up(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layers.1.attention.k_proj.weight"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(
        CheckpointError, match=r"they lack encoder.layers.1.attention.k_proj.weight"
    ):
        build(folder)
    build(folder, layer=1)  # which has no use for it


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_file_cut_in_the_middle_is_named(folder, name):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
    with pytest.raises((ConfigError, CheckpointError), match=str(folder)) as caught:
        build(folder)
    assert "\n" not in str(caught.value)


def test_a_git_lfs_pointer_is_recognised(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\nsize 9")
    with pytest.raises(ConfigError, match="model.safetensors: is a git-lfs pointer.*git lfs pull"):
        build(folder)


def test_features_of_another_width_are_refused(tmp_path):
    extractor = make_extractor("w2v_bert")
    extractor.num_mel_bins = 40
    folder = save(tmp_path, make_model("w2v_bert"), extractor)
    with pytest.raises(ConfigError, match="features have 80 values a frame, its model takes 160"):
        build(folder)
    edit_json(folder / "preprocessor_config.json", stride=1)
    with pytest.raises(ConfigError, match=r"step 160 samples a frame, labels need 320 \(20 ms\)"):
        build(folder)


def test_without_transformers_the_error_names_the_package(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        ConfigError, match="a Hugging Face model needs transformers: pip install 'xeus.hf.'"
    ):
        build(folder)
