import dataclasses
from pathlib import Path
from typing import Literal

import pytest

from espnet2.utils.config import (
    differences,
    from_dict,
    load_section,
    load_seed,
    load_yaml,
    override,
    to_dict,
)
from espnet2.utils.errors import ConfigError

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mask:
    prob: float = 0.8
    kind: Literal["static", "uniform"] = "static"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    dim: int
    mask: Mask = Mask()
    shapes: tuple[tuple[int, int], ...] = ()
    layers: dict[int, float] = dataclasses.field(default_factory=dict)
    name: str | None = None


def test_plain_data_becomes_the_dataclass_and_back():
    data = {"dim": 4, "mask": {"prob": 1}, "shapes": [[2, 3]], "layers": {10: 0.3}, "name": None}
    model = from_dict(Model, data, "x.yaml")
    assert model == Model(dim=4, mask=Mask(prob=1.0), shapes=((2, 3),), layers={10: 0.3})
    assert from_dict(Model, to_dict(model), "x.yaml") == model


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"dim": 4, "mask": {"probb": 1}},
            r"x: mask: probb is not a known key; did you mean 'prob'",
        ),
        ({"dim": "4"}, r"x: dim must be int, got '4' \(str\)"),
        ({"dim": 4, "mask": {"prob": "3e-4"}}, r"YAML reads 3e-4 as text"),
        ({"dim": True}, r"x: dim must be int, got True \(bool\)"),
        ({}, "x: dim is required"),
        ({"dim": 4, "mask": {"kind": "none"}}, "must be one of static, uniform, got 'none'"),
        ({"dim": 4, "shapes": [[1]]}, r"shapes\[0\] must hold 2 values, got 1"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(data, message):
    with pytest.raises(ConfigError, match=message):
        from_dict(Model, data, "x")


def test_every_problem_is_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        from_dict(Model, {"dimm": 4, "name": 3}, "x")
    assert len(str(caught.value).splitlines()) == 3


def test_override_replaces_one_leaf_and_keeps_the_old_tree():
    data = {"a": {"b": 1, "c": 2}}
    assert override(data, "a.b=[3]") == {"a": {"b": [3], "c": 2}}
    assert data == {"a": {"b": 1, "c": 2}}


def test_sections_are_inline_or_files_beside_the_recipe(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "t.yaml").write_text("clusters: 64\n")
    conf = tmp_path / "mini.yaml"
    conf.write_text("seed: 3\nformat: {min_s: 1.0}\ntokens: sub/t.yaml\n")
    assert load_section(conf, "tokens") == {"clusters": 64}
    assert load_section(conf, "tokens", ["tokens.clusters=9", "format.x=1"]) == {"clusters": 9}
    assert load_section(conf, "plan") == {}
    assert load_seed(conf) == 3


def test_a_recipe_may_hold_only_the_difference_from_another(tmp_path):
    (tmp_path / "mini.yaml").write_text("seed: 3\npretrain: {max_steps: 5, optim_conf: {lr: 1}}\n")
    (tmp_path / "long.yaml").write_text("base: mini.yaml\npretrain: {max_steps: 50}\n")
    section = load_section(tmp_path / "long.yaml", "pretrain")
    assert section == {"max_steps": 50, "optim_conf": {"lr": 1}}
    assert load_seed(tmp_path / "long.yaml") == 3


def test_another_choice_leaves_the_settings_of_the_one_before_behind(tmp_path):
    (tmp_path / "first.yaml").write_text(
        "tokens: {teacher: mfcc, teacher_conf: {normalise: mean}, num_clusters: 9}\n"
    )
    conf = tmp_path / "second.yaml"
    for text, expected in [
        ("{teacher: hf, teacher_conf: {layer: 2}}", {"layer": 2}),
        ("{teacher_conf: {layer: 2}, teacher: hf}", {"layer": 2}),
        ("{teacher: hf}", None),
        ("{teacher: mfcc, teacher_conf: {smooth: 5}}", {"normalise": "mean", "smooth": 5}),
        ("{num_clusters: 3}", {"normalise": "mean"}),
    ]:
        conf.write_text(f"base: first.yaml\ntokens: {text}\n")
        assert load_section(conf, "tokens").get("teacher_conf") == expected
    conf.write_text("base: first.yaml\n")
    chosen = load_section(conf, "tokens", ["tokens.teacher=hf", "tokens.teacher_conf.layer=2"])
    assert chosen == {"teacher": "hf", "teacher_conf": {"layer": 2}, "num_clusters": 9}
    assert load_section(conf, "tokens", ["tokens.teacher=mfcc"])["teacher_conf"] == {
        "normalise": "mean"
    }


RECIPES = sorted((ROOT / "conf").glob("*.yaml"))
WITH_LABELS = [path for path in RECIPES if load_section(path, "tokens")]


@pytest.mark.parametrize("path", WITH_LABELS, ids=lambda path: path.stem)
def test_every_recipe_that_comes_with_the_house_names_its_teachers_settings(path):
    section = load_section(path, "tokens")
    network = {"checkpoint", "layer", "normalise"}
    known = {"mfcc": {"normalise", "smooth_frames"}, "xeus": network, "wavlablm": network}
    assert set(section["teacher_conf"]) <= known[section["teacher"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("formt: {}\n", "formt is not a known section; did you mean 'format'"),
        ("format: {a: 1\n", r"mini.yaml:2: not valid YAML"),
        ("- 1\n", "must hold a mapping, got a list"),
        ("seed: 1\nseed: 2\n", r"mini.yaml:2: seed is given twice"),
    ],
)
def test_a_broken_recipe_is_refused_with_file_and_line(tmp_path, text, message):
    conf = tmp_path / "mini.yaml"
    conf.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_section(conf, "format")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("plan.x=[1", r"x=\[1: '\[1' is not a YAML value"),
        ("plan.x.y=1", "x is 3, it has no keys of its own"),
        ("plan=words", "words: no such configuration file"),
    ],
)
def test_an_override_that_does_not_fit_is_refused(tmp_path, setting, message):
    (tmp_path / "c.yaml").write_text("plan: {x: 3}\n")
    with pytest.raises(ConfigError, match=message):
        load_section(tmp_path / "c.yaml", "plan", [setting])


def test_the_seed_can_be_overridden(tmp_path):
    (tmp_path / "c.yaml").write_text("seed: 3\n")
    assert load_seed(tmp_path / "c.yaml", ["seed=7", "plan.x=1"]) == 7


def test_a_recipe_that_is_its_own_base_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("base: b.yaml\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\n")
    with pytest.raises(ConfigError, match=r"a.yaml is its own base"):
        load_section(tmp_path / "a.yaml", "plan")


def test_an_override_of_an_unknown_section_is_refused(tmp_path):
    (tmp_path / "c.yaml").write_text("")
    with pytest.raises(ConfigError, match="--set tokkens.k=1: must be section.key=value"):
        load_section(tmp_path / "c.yaml", "tokens", ["tokkens.k=1"])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_yaml(tmp_path / "none.yaml")


def test_a_section_may_have_a_base_of_its_own_and_be_chosen_on_the_command_line(tmp_path):
    (tmp_path / "small.yaml").write_text(
        "max_steps: 9\nencoder_conf: {num_blocks: 3, ckpt: true}\n"
    )
    (tmp_path / "large.yaml").write_text("base: small.yaml\nencoder_conf: {num_blocks: 8}\n")
    (tmp_path / "recipe.yaml").write_text("pretrain: small.yaml\n")
    (tmp_path / "large_recipe.yaml").write_text("pretrain: large.yaml\n")
    large = {"max_steps": 9, "encoder_conf": {"num_blocks": 8, "ckpt": True}}
    assert load_section(tmp_path / "large_recipe.yaml", "pretrain") == large
    settings = ["pretrain=large.yaml", "pretrain.max_steps=5"]
    chosen = load_section(tmp_path / "recipe.yaml", "pretrain", settings)
    assert chosen == {**large, "max_steps": 5}
    with pytest.raises(ConfigError, match=r"none.yaml"):
        load_section(tmp_path / "recipe.yaml", "pretrain", ["pretrain=none.yaml"])


def test_differences_of_two_trees_name_each_leaf_and_both_values():
    old = {"a": {"b": 1, "c": [1, 2]}, "d": "x", "e": {}}
    new = {"a": {"b": 1, "c": [1, 3, 4]}, "d": None, "e": {"f": 0}}
    assert differences(old, new) == [
        ("a.c.1", 2, 3), ("a.c.2", "absent", 4), ("d", "x", None), ("e", {}, "absent"),
        ("e.f", "absent", 0),
    ]  # fmt: skip
    assert differences(old, old) == []
