from pathlib import Path

import numpy as np
import pytest
import yaml
from tiny_tokens import make_set

from espnet2.bin import kmeans, label
from espnet2.data.labels import LabelStore
from espnet2.tokens.codebook import Codebook, save_codebook
from espnet2.tokens.config import TokensConfig
from espnet2.tokens.teachers.registry import teacher_config
from espnet2.utils.config import from_dict, load_yaml
from espnet2.utils.errors import ConfigError, DataError

ROOT = Path(__file__).resolve().parents[2]
SECTION = {"num_clusters": 5, "kmeans_iterations": 3}


def recipe(tmp_path, **section):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({"seed": 1, "tokens": {**SECTION, **section}}))
    return path


def arguments(tmp_path, **section):
    return [
        *("--conf", str(recipe(tmp_path, **section)), "--log_dir", str(tmp_path / "log")),
        *("--index", str(tmp_path / "train/index.arrow")),
    ]


def test_the_two_stages_make_labels_and_the_second_time_do_nothing(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(ROOT)
    index = make_set(tmp_path, lengths=[4000] * 4)
    book, labels = str(tmp_path / "book"), str(tmp_path / "train/labels/toy")
    fit = [*arguments(tmp_path), "--out", book]
    tag = [*arguments(tmp_path), "--codebook", book, "--out", labels, "--nj", "2"]
    assert kmeans.main(fit) == 0
    assert label.main(tag) == 0
    store = LabelStore.open(index, labels)
    assert store.info.num_clusters == 5
    assert store.labels(3).max() < 5
    assert "in: 4 utts / 0.00 h -> " in capfd.readouterr().err
    assert kmeans.main(fit) == 0
    assert label.main(tag) == 0
    assert capfd.readouterr().err.count("up to date") == 3


def test_what_a_user_gets_wrong_is_said_before_any_work(tmp_path):
    make_set(tmp_path, lengths=[4000])
    with pytest.raises(ConfigError, match="num_cluster is not a known key; did you mean"):
        kmeans.main([*arguments(tmp_path, num_cluster=3), "--out", str(tmp_path / "book")])
    with pytest.raises(ConfigError, match="teacher 'mffc' is not one of mfcc, xeus"):
        kmeans.main([*arguments(tmp_path, teacher="mffc"), "--out", str(tmp_path / "book")])
    with pytest.raises(DataError, match="run the kmeans stage"):
        label.main([*arguments(tmp_path), "--codebook", str(tmp_path), "--out", str(tmp_path)])


def test_settings_of_another_codebook_cost_no_label_that_was_made(tmp_path, capfd):
    make_set(tmp_path, lengths=[4000] * 4)
    book, out = tmp_path / "book", tmp_path / "train/labels/toy"
    assert kmeans.main([*arguments(tmp_path), "--out", str(book)]) == 0
    tag = ["--codebook", str(book), "--out", str(out)]
    assert label.main([*arguments(tmp_path), *tag]) == 0
    (tmp_path / "model.pth").write_bytes(b"1")
    (tmp_path / "config.yaml").write_text("{}")
    xeus = {"checkpoint": str(tmp_path / "model.pth"), "layer": 2}
    for section, message in [
        ({"teacher_conf": {"smooth_frames": 3}}, "smooth_frames was 1 when .*, is 3 now; set"),
        ({"teacher_conf": {"smoth_frames": 3}}, "smoth_frames is not a known key; did you mean"),
        ({"teacher": "xeus", "teacher_conf": xeus}, "teacher was 'mfcc' when .*, is 'xeus' now"),
    ]:
        with pytest.raises(ConfigError, match=message):
            label.main([*arguments(tmp_path, **section), *tag])
    capfd.readouterr()
    assert label.main([*arguments(tmp_path), *tag]) == 0
    assert capfd.readouterr().err.count("up to date") == 2


def test_another_checkpoint_than_the_codebooks_is_refused_before_any_work(tmp_path):
    make_set(tmp_path, lengths=[4000])
    (tmp_path / "model.pth").write_bytes(b"1")
    (tmp_path / "config.yaml").write_text("{}")
    identity = {"teacher": "xeus", "layer": 2, "normalise": "none", "checkpoint_sha256": "ab" * 32}
    save_codebook(tmp_path, Codebook(np.zeros((5, 4), np.float32), identity))
    settings = {"checkpoint": str(tmp_path / "model.pth"), "layer": 2}
    out = ["--codebook", str(tmp_path), "--out", str(tmp_path / "train/labels/toy")]
    with pytest.raises(ConfigError, match="checkpoint_sha256 was ababab.* is 6b86b273ff34"):
        label.main([*arguments(tmp_path, teacher="xeus", teacher_conf=settings), *out])
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("conf/tokens/*.yaml")), ids=lambda path: path.stem
)
def test_the_settings_that_come_with_the_house_are_valid(path):
    config = from_dict(TokensConfig, load_yaml(path), str(path))
    assert config.num_clusters == (2048 if path.stem == "xeus" else 128)
    teacher_config(config.teacher, config.teacher_conf)


def test_the_papers_quotas_are_its_twenty_thousand_hours():
    path = ROOT / "conf/tokens/xeus.yaml"
    quotas = from_dict(TokensConfig, load_yaml(path), str(path)).quotas
    assert sum(quota.hours or 0 for quota in quotas) == 18_000  # and all of FLEURS and BABEL
    assert [quota.corpora for quota in quotas if quota.hours is None] == [("fleurs",), ("babel",)]
