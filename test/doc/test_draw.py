"""The pictures in doc/: drawn from the driver and the YAML, the same bytes each time."""

import importlib
import re
import sys
from pathlib import Path

import matplotlib
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("flow", "model")


@pytest.fixture(scope="module")
def draw():
    sys.path.insert(0, str(ROOT / "doc"))
    yield importlib.import_module("draw")
    sys.path.remove(str(ROOT / "doc"))


def words(svg):
    """What a reader sees, without the breaks between lines."""
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))


@pytest.mark.parametrize("name", NAMES)
def test_drawing_again_gives_the_same_picture(draw, name):
    stored, drawn = (ROOT / f"doc/{name}.svg").read_text(), draw.DRAWINGS[name]()
    assert words(drawn) == words(stored), "python3 doc/draw.py draws them again"
    if matplotlib.__version__ in stored:  # another may write other bytes
        assert drawn == stored


def test_the_flow_shows_every_stage_of_the_driver(draw):
    driver = (ROOT / "egs2/TEMPLATE/ssl1/ssl.sh").read_text()
    stages = re.search(r"^stages=\((.*?)\)", driver, re.S | re.M)[1].split()
    assert [(stage.number, stage.name) for stage in draw.stages()] == list(enumerate(stages, 1))
    shown = words(draw.draw_flow())
    assert all(f"{number} {name}" in shown for number, name in enumerate(stages, 1))


def test_the_model_shows_the_numbers_of_its_yaml(draw, tmp_path, monkeypatch):
    options = yaml.safe_load((ROOT / "conf/pretrain/xeus.yaml").read_text())
    assert "19 E-Branchformer blocks (561.0 M)" in words(draw.draw_model())
    options["encoder_conf"]["num_blocks"] = 2
    options["loss_conf"] |= {"num_classes": 500, "layers": [1]}
    del options["phases"]
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(options))
    monkeypatch.setattr(draw, "MODEL", tmp_path / "small.yaml")
    shown = words(draw.draw_model())
    assert "2 E-Branchformer blocks (59.1 M)" in shown
    assert "768 → 500" in shown


@pytest.mark.parametrize("name", NAMES)
def test_text_is_text_and_follows_light_and_dark(name):
    svg = (ROOT / f"doc/{name}.svg").read_text()
    assert len(re.findall("<text", svg)) > 20
    assert "prefers-color-scheme:dark" in svg
    assert "#a000f" not in svg
