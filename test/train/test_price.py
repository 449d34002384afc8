"""What a run will cost is said beforehand, and comes true."""

import pytest
from tiny_dump import TAG, make_dump, write_recipe

from espnet2.data.plan import Plan
from espnet2.train.distributed import World
from espnet2.train.pretrain import prepare, pretrain
from espnet2.train.price import Measured, bill_of, price
from espnet2.utils.config import load_section


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    return make_dump(tmp_path_factory.mktemp("price"))


@pytest.mark.parametrize("interval", [2, 4])  # of intermediate models; the last step has one, too
def test_the_bill_is_that_of_the_run(dump, tmp_path, capsys, interval):
    recipe = write_recipe(tmp_path / "recipe.yaml", intermediate_interval_steps=interval)
    bill = price(recipe, [], dump, TAG, 0)
    plan = Plan.open(dump / "train/plan")
    assert bill["steps"] == 6
    assert bill["passes"] == 6 / plan.steps_per_pass
    assert bill["hours"] == pytest.approx(6 * bill["step_s"] / 3600)
    assert bill["device_hours"] == bill["hours"]
    assert 0 < bill["data_wait"] < 1
    assert list(tmp_path.iterdir()) == [recipe]
    pretrain(recipe, [], dump, TAG, tmp_path / "exp", 0)
    files = list((tmp_path / "exp").rglob("*.pth"))
    beside_tensors = sum(path.stat().st_size for path in files) - bill["disk_gib"] * 2**30
    assert 0 < beside_tensors < 100_000 * len(files)
    states = len([path for path in files if path.parent.name == "checkpoints"])
    tensors = states * bill["checkpoint_gib"] + (len(files) - states) * bill["model_gib"]
    assert bill["disk_gib"] == pytest.approx(tensors)
    words = capsys.readouterr().err
    assert "measured on 20 steps of the last phase" in words
    assert "6 steps hear" in words


def test_the_audio_of_a_step_is_the_plans(dump, tmp_path):
    recipe = write_recipe(tmp_path / "recipe.yaml")
    plan = Plan.open(dump / "train/plan")
    timed = [plan.batch(step) for step in range(3 + 5, 3 + 25)]  # the last phase begins at step 3
    seconds = sum(len(batch.rows) * batch.num_samples for batch in timed) / 16000 / 20
    assert price(recipe, [], dump, TAG, 0)["audio_hours"] == pytest.approx(6 * seconds / 3600)


def test_of_several_ranks_the_hours_add_up_and_the_audio_is_shared(dump, tmp_path):
    section = load_section(write_recipe(tmp_path / "recipe.yaml"), "pretrain")
    run, ranks = prepare(dump, TAG, section, 1, World()), World(size=2)
    measured = Measured(step_s=0.5, wait_s=0.1, audio_s=40.0, peak_bytes=2**30)
    bill = bill_of(measured, run, ranks)
    assert bill["hours"] == pytest.approx(6 * 0.5 / 3600)
    assert bill["device_hours"] == 2 * bill["hours"]
    assert bill["audio_hours"] == pytest.approx(6 * 40 / 3600)
    assert (bill["x_real_time"], bill["data_wait"], bill["peak_gib"]) == (40.0, 0.2, 1.0)
