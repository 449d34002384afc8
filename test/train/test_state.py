"""What a run leaves: complete states, models with their rows, the best ones, and the way back."""

import math
import os

import pytest
import torch
from tiny_training import TinyBatches, TinyModel, run_tiny, tiny_config

from espnet2.train import state
from espnet2.train.checkpoint import load_tensors, save_tensors, saved_steps, step_path
from espnet2.train.distributed import World
from espnet2.train.guards import Guards
from espnet2.train.loop import train
from espnet2.train.metrics import read_metrics
from espnet2.train.state import Snapshots
from espnet2.train.trainer import Trainer
from espnet2.utils.errors import CheckpointError, TrainingError
from espnet2.utils.files import read_json

ALONE = World()


def snapshots_of(folder, model=None, **changes):
    """A run that has made no step."""
    config = tiny_config(**changes)
    trainer = Trainer(model or TinyModel(), config, ALONE, seed=3)
    snapshots = Snapshots(folder, trainer, Guards(folder, config, ALONE), {})
    snapshots.resume()
    return snapshots


def make_steps(snapshots, count):
    """Steps of a training without reports."""
    for _ in range(count):
        snapshots.trainer.update(TinyBatches().batch(snapshots.trainer.step))


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def models(folder):
    return saved_steps(folder / "best"), read_json(folder / "best/best.json")


def test_an_intermediate_model_carries_its_rows_inside_and_beside(tmp_path):
    config = tiny_config(log_interval_steps=3, valid_interval_steps=6)
    train(TinyModel(), TinyBatches(), config, tmp_path, ALONE, seed=3, valid=TinyBatches())
    rows = {(row["split"], row["step"]): row for row in read_metrics(tmp_path / "metrics.jsonl")}
    for step in (6, 12):
        beside = read_json(tmp_path / f"intermediate/step_{step:07d}.json")
        assert beside == {
            "step": step, "train": rows["train", step], "valid": rows["valid", step]
        }  # fmt: skip
        inside = load_tensors(step_path(tmp_path / "intermediate", step))
        assert inside["rows"] == {"train": beside["train"], "valid": beside["valid"]}
        assert "optimizer" not in inside
    assert_same(inside["model"], load_tensors(step_path(tmp_path / "checkpoints", 12))["model"])


def test_rows_are_on_the_disk_before_the_checkpoint_that_does_not_make_them_again(
    tmp_path, monkeypatch
):
    synced, sync = [], os.fsync

    def fsync(descriptor):
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    run_tiny(tmp_path, ALONE, tiny_config(max_steps=3, intermediate_interval_steps=9))
    kinds = [name.lstrip(".").split(".")[0] for name in synced]
    last = max(i for i, kind in enumerate(kinds) if kind == "step_0000003")
    assert kinds[last - 2 : last] == ["metrics", "languages"]


def test_the_checkpoint_of_a_step_is_written_after_all_its_other_files(tmp_path, monkeypatch):
    written = []

    def save(path, tensors):
        written.append((path.parent.name, path.name))
        save_tensors(path, tensors)

    monkeypatch.setattr(state, "save_tensors", save)
    snapshots = snapshots_of(tmp_path, intermediate_interval_steps=3)
    validated(snapshots, [0.9, 0.8, 0.7])
    snapshots.close()
    folders = [folder for folder, name in written if name == "step_0000003.pth"]
    assert folders == ["best", "intermediate", "checkpoints"]


def test_rows_of_earlier_steps_come_back_with_the_checkpoint(tmp_path):
    first = snapshots_of(tmp_path)
    make_steps(first, 3)
    first.keep_if_best(3, {"step": 3, "loss": 0.5})
    first.save({"step": 3, "loss": 0.75})
    first.close()
    again = snapshots_of(tmp_path)
    assert again.rows == {"train": {"step": 3, "loss": 0.75}, "valid": {"step": 3, "loss": 0.5}}


def test_models_are_the_running_mean_and_checkpoints_hold_both(tmp_path):
    model, _ = run_tiny(tmp_path, ALONE, tiny_config(ema_decay=0.9))
    alone = load_tensors(step_path(tmp_path / "intermediate", 12))["model"]
    complete = load_tensors(step_path(tmp_path / "checkpoints", 12))
    assert_same(complete["model"], weights(model))
    assert_same(complete["ema"], alone)
    assert not torch.equal(alone["layers.0.weight"], complete["model"]["layers.0.weight"])


def test_a_resumed_running_mean_is_that_of_one_run(tmp_path):
    for name, lengths in (("whole", [9]), ("parts", [4, 3, 2])):
        for length in lengths:
            snapshots = snapshots_of(tmp_path / name, TinyModel(dropout=0.3), ema_decay=0.9)
            make_steps(snapshots, length)
            snapshots.save(None, force=True)
            snapshots.close()
    whole, parts = (
        load_tensors(step_path(tmp_path / name / "checkpoints", 9)) for name in ("whole", "parts")
    )
    for part in ("model", "ema"):
        assert_same(whole[part], parts[part])


def validated(snapshots, losses):
    """Steps with a validation each."""
    for loss in losses:
        make_steps(snapshots, 1)
        step = snapshots.trainer.step
        snapshots.keep_if_best(step, {"split": "valid", "step": step, "loss": loss})
        if snapshots.is_due(step):
            snapshots.save(None)
    snapshots.writer.wait()


def test_the_models_of_lowest_validation_loss_are_kept(tmp_path):
    snapshots = snapshots_of(tmp_path, keep_nbest_models=2)
    validated(snapshots, [0.9, 0.5, 0.7, math.nan, 0.8])
    ranking = [{"step": 2, "loss": 0.5}, {"step": 3, "loss": 0.7}]
    assert models(tmp_path) == ([2, 3], ranking)
    step_3 = load_tensors(step_path(tmp_path / "best", 3))
    assert (step_3["step"], step_3["rows"]["valid"]["loss"]) == (3, 0.7)
    assert_same(step_3["model"], load_tensors(step_path(tmp_path / "checkpoints", 3))["model"])
    validated(snapshots, [0.5])
    assert models(tmp_path) == ([2, 6], [{"step": 6, "loss": 0.5}, {"step": 2, "loss": 0.5}])
    snapshots.close()


def test_no_model_is_kept_where_none_is_asked_for(tmp_path):
    snapshots = snapshots_of(tmp_path, keep_nbest_models=0)
    validated(snapshots, [0.9, 0.5])
    snapshots.close()
    assert not (tmp_path / "best").exists()


def test_a_resumed_run_ranks_on_and_removes_what_a_kill_left(tmp_path):
    first = snapshots_of(tmp_path)
    validated(first, [0.9, 0.5, 0.7])
    first.close()
    (tmp_path / "best/step_0000003.pth").write_bytes(b"written, but not ranked")
    again = snapshots_of(tmp_path)
    assert models(tmp_path)[0] == [2]
    validated(again, [0.6, 0.4])
    assert models(tmp_path) == ([5], [{"step": 5, "loss": 0.4}])
    again.close()


def test_a_forced_save_is_complete_between_the_intervals(tmp_path):
    snapshots = snapshots_of(tmp_path, save_interval_steps=50, intermediate_interval_steps=4)
    make_steps(snapshots, 4)
    snapshots.save(None, force=True)
    make_steps(snapshots, 1)
    assert not snapshots.is_due(5)
    snapshots.save(None, force=True)
    snapshots.close()
    assert saved_steps(tmp_path / "checkpoints") == [4, 5]
    assert saved_steps(tmp_path / "intermediate") == [4]


def test_while_a_spike_lasts_no_state_is_saved_to_go_back_to(tmp_path):
    snapshots = snapshots_of(tmp_path, max_steps=9, intermediate_interval_steps=6)
    snapshots.guards.spikes.lasted = 1
    validated(snapshots, [0.9] * 2 + [0.5] + [0.9] * 3)
    assert models(tmp_path)[0] == [3]
    assert saved_steps(tmp_path / "intermediate") == [6]
    assert saved_steps(tmp_path / "checkpoints") == []
    snapshots.save(None, force=True)
    validated(snapshots, [0.9] * 3)
    snapshots.close()
    assert saved_steps(tmp_path / "checkpoints") == [6, 9]


def test_going_back_takes_the_newest_state_and_leaves_no_later_models(tmp_path):
    snapshots = snapshots_of(tmp_path, intermediate_interval_steps=4, save_interval_steps=3)
    trainer = snapshots.trainer
    validated(snapshots, [0.9, 0.8, 0.7])
    at_three, moments = weights(trainer.model), trainer.optimizer.state_dict()["state"][0]
    moments = {name: value.clone() for name, value in moments.items()}
    validated(snapshots, [0.6, 0.1])
    trainer.shift, trainer.rollbacks = 7, 2
    assert snapshots.roll_back("a test") == 3
    assert (trainer.step, trainer.shift, trainer.rollbacks) == (3, 0, 2)
    assert_same(weights(trainer.model), at_three)
    assert_same(trainer.optimizer.state_dict()["state"][0], moments)
    assert snapshots.rows["valid"]["step"] == 3
    # The best model was of step 5; one that fell out of the ranking before does not come back.
    assert models(tmp_path) == ([], [])
    assert list((tmp_path / "intermediate").iterdir()) == []
    snapshots.close()


def test_a_damaged_newest_state_is_passed_over_on_the_way_back(tmp_path, capsys):
    snapshots = snapshots_of(tmp_path)
    validated(snapshots, [0.9] * 7)
    path = step_path(tmp_path / "checkpoints", 6)
    path.write_bytes(path.read_bytes()[:900])
    assert snapshots.roll_back("a test") == 3
    assert "step_0000006.pth is cut or damaged; going back" in capsys.readouterr().err
    snapshots.close()


def test_where_there_is_nothing_to_go_back_to_one_line_says_so(tmp_path):
    snapshots = snapshots_of(tmp_path)
    make_steps(snapshots, 2)
    with pytest.raises(TrainingError, match="at step 2 all is lost, and there is no checkpoint in"):
        snapshots.roll_back("all is lost")


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    run_tiny(tmp_path, ALONE, tiny_config(max_steps=3))
    wider = TinyModel()
    wider.layers[2] = torch.nn.Linear(8, 2)
    message = r"step_0000003.pth is of another model: layers.2.weight has shape \(1, 8\) in it"
    with pytest.raises(CheckpointError, match=message):
        snapshots_of(tmp_path, wider)


def test_the_state_holds_what_the_next_step_depends_on(tmp_path):
    run_tiny(tmp_path, ALONE, tiny_config(max_steps=3), settings={"plan": "a" * 64, "seed": 3})
    state = load_tensors(step_path(tmp_path / "checkpoints", 3))
    assert sorted(state) == [
        "config", "guards", "model", "optimizer", "rollbacks", "rows", "scheduler", "shift", "step",
    ]  # fmt: skip
    assert state["scheduler"] == {"name": "warmuplr", "updates": 3}
    assert (state["config"]["plan"], state["config"]["seed"]) == ("a" * 64, 3)
    assert (state["step"], state["shift"], state["rollbacks"]) == (3, 0, 0)
