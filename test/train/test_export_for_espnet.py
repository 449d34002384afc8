"""What the export leaves for ESPnet from PyPI; real ESPnet loads it in ``test/peer``."""

import zipfile

import pytest
import torch
import yaml
from tiny_dump import MODEL, make_dump
from tiny_run import make_run

from espnet2.train.checkpoint import load_tensors, save_tensors
from espnet2.train.export import espnet_zip
from espnet2.train.export.espnet_zip import pack, unpack
from espnet2.train.export.layouts import exported_config, save_new_config
from espnet2.train.export.stage import export
from espnet2.utils.config import load_yaml
from espnet2.utils.errors import CheckpointError


@pytest.fixture
def packed(tmp_path):
    """(archive, configuration, checkpoint)."""
    config, model = tmp_path / "config_new.yaml", tmp_path / "xeus_checkpoint_new.pth"
    config.write_text("frontend: wav2vec_cnn\n")
    model.write_bytes(bytes(range(256)) * 9000)
    pack(tmp_path / "model.zip", "exp/ssl a", config, model)
    return tmp_path / "model.zip", config, model


def test_the_yaml_for_espnet_keeps_the_tokens(tmp_path):
    assert save_new_config(tmp_path / "config_new.yaml", exported_config(with_classes(), 4))
    written = load_yaml(tmp_path / "config_new.yaml")
    assert written["token_list"] == ["0", "1", "2", "3", "<unk>", "<sos/eos>"]
    assert written["loss"][0]["conf"]["num_classes"] == 4


def test_without_a_yaml_for_espnet_the_log_says_why(tmp_path, capsys):
    path = tmp_path / "config_new.yaml"
    path.write_text("of an earlier export")
    assert not save_new_config(path, exported_config(with_classes(loss="hubert"), 4))
    assert not path.exists()
    assert (
        f"cannot load this model; {path}, a folder and a zip for it are left out: loss: ESPnet has"
        " no cosine loss" in capsys.readouterr().err
    )


def test_a_zip_names_its_files_as_espnets_pack_does(packed):
    with zipfile.ZipFile(packed[0]) as archive:
        meta = yaml.safe_load(archive.read("meta.yaml"))
        entries = archive.infolist()
    assert meta.pop("python").startswith("3.")
    assert meta == {
        "espnet": "202511",
        "files": {"ssl_model_file": "exp/ssl a/xeus_checkpoint_new.pth"},
        "timestamp": 315532800.0,
        "torch": str(torch.__version__),
        "yaml_files": {"ssl_train_config": "exp/ssl a/config.yaml"},
    }
    assert [entry.filename for entry in entries] == [
        "meta.yaml", "exp/ssl a/config.yaml", "exp/ssl a/xeus_checkpoint_new.pth",
    ]  # fmt: skip
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}


def test_what_is_unpacked_is_what_was_packed_and_equal_content_gives_equal_bytes(packed, tmp_path):
    archive, config, model = packed
    again = tmp_path / "again.zip"
    pack(again, "exp/ssl a", config, model)
    assert again.read_bytes() == archive.read_bytes()
    found = unpack(archive, tmp_path / "out")
    assert found[0].read_bytes() == config.read_bytes()
    assert found[1].read_bytes() == model.read_bytes()


def test_a_zip_whose_meta_yaml_names_another_file_is_refused(packed, tmp_path):
    archive, config, model = packed
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(tmp_path / "b.zip", "w") as new:
        new.writestr("meta.yaml", old.read("meta.yaml").replace(b"ssl a/xeus", b"ssl b/xeus"))
        new.writestr("exp/ssl a/config.yaml", "")
    with pytest.raises(CheckpointError, match=r"b.zip: meta.yaml names .* which is not in it"):
        unpack(tmp_path / "b.zip", tmp_path / "out")


def test_a_zip_with_other_weights_fails_the_stage_in_one_line(tmp_path, monkeypatch):
    """A pack that rounds to bfloat16 stands for one that is broken."""

    def rounded(path, folder, config, model):
        state = {name: tensor.bfloat16() for name, tensor in load_tensors(model).items()}
        save_tensors(tmp_path / "rounded" / model.name, state)
        pack(path, folder, config, tmp_path / "rounded" / model.name)

    dump = make_dump(tmp_path / "dump")
    monkeypatch.setattr(espnet_zip, "pack", rounded)
    with pytest.raises(CheckpointError) as error:
        export(make_run(tmp_path / "exp", dump), dump, tmp_path / "out", {})
    assert str(error.value).startswith(f"{tmp_path}/out/espnet_model.zip gives other hidden states")
    assert not (tmp_path / "out/export.json").exists()


def with_classes(**changes):
    """The tiny recipe's model as a run saves it."""
    return {**MODEL, "loss_conf": {"num_classes": 4, "final_dim": 8}, **changes}
