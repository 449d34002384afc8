import pytest
from tiny_dump import TAG, make_dump, write_recipe

from espnet2.train.metrics import read_metrics
from espnet2.train.pretrain import pretrain


def losses(dump, exp, augment_on):
    """Training losses of a run whose last two steps are augmented on ``augment_on``."""
    exp.mkdir()
    phases = [{"until": 1}, {"noise_prob": 1.0, "rir_prob": 1.0}]
    recipe = write_recipe(
        exp / "recipe.yaml", phases=phases, mix={"augment_on": augment_on}, log_interval_steps=1,
        max_steps=3, valid_interval_steps=0,
    )  # fmt: skip
    pretrain(recipe, [], dump, TAG, exp, 0)
    rows = read_metrics(exp / "metrics.jsonl")
    return [row["loss"] for row in rows if row["split"] == "train"]


def test_a_run_learns_the_same_where_the_device_augments(tmp_path):
    dump = make_dump(tmp_path / "dump")
    loader, device = (losses(dump, tmp_path / name, name) for name in ("loader", "device"))
    assert len(loader) == 3
    assert device == pytest.approx(loader, rel=1e-4)
    assert device != loader  # and yet it was computed elsewhere
