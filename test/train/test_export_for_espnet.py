"""The YAML that the export leaves for ESPnet from PyPI; real ESPnet loads it in ``test/peer``."""

from tiny_dump import MODEL

from espnet2.train.export import exported_config, save_new_config
from espnet2.utils.config import load_yaml


def test_the_yaml_for_espnet_keeps_the_tokens(tmp_path):
    save_new_config(tmp_path / "config_new.yaml", exported_config(with_classes(), 4))
    written = load_yaml(tmp_path / "config_new.yaml")
    assert written["token_list"] == ["0", "1", "2", "3", "<unk>", "<sos/eos>"]
    assert written["loss"][0]["conf"]["num_classes"] == 4


def test_without_a_yaml_for_espnet_the_log_says_why(tmp_path, capsys):
    path = tmp_path / "config_new.yaml"
    path.write_text("of an earlier export")
    save_new_config(path, exported_config(with_classes(loss="hubert"), 4))
    assert not path.exists()
    assert f"cannot load this model, {path} is left out: loss: ESPnet has no cosine loss" in (
        capsys.readouterr().err
    )


def with_classes(**changes):
    """The tiny recipe's model as a run saves it."""
    return {**MODEL, "loss_conf": {"num_classes": 4, "final_dim": 8}, **changes}
