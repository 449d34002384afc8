"""Stage 8 on a tiny dump: model, batches and loop together."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_dump import MODEL, NUM_CLUSTERS, TAG, make_dump, write_recipe

from espnet2.bin.pretrain import pretrain_unit
from espnet2.ssl.config import SSLModelConfig
from espnet2.ssl.factory import build_model
from espnet2.train.average import average
from espnet2.train.batches import majority_share, validation_batches
from espnet2.train.checkpoint import load_tensors, save_tensors, step_path
from espnet2.train.config import Phase, TrainConfig
from espnet2.train.distributed import World
from espnet2.train.metrics import read_metrics
from espnet2.train.pretrain import check_replicated, pretrain
from espnet2.train.trainer import Trainer
from espnet2.utils.config import load_yaml
from espnet2.utils.errors import CheckpointError, ConfigError
from espnet2.utils.files import read_json, sha256_file


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    return make_dump(tmp_path_factory.mktemp("dump"))


@pytest.fixture(scope="module")
def trained(dump, tmp_path_factory):
    """A finished run of six steps."""
    exp = tmp_path_factory.mktemp("exp")
    pretrain(write_recipe(exp / "recipe.yaml"), [], dump, TAG, exp, 0)
    return exp


def test_a_run_leaves_rows_curves_and_a_summary(trained):
    rows = read_metrics(trained / "metrics.jsonl")
    assert [(row["split"], row["step"]) for row in rows] == [
        ("train", 2), ("valid", 3), ("train", 4), ("train", 6), ("valid", 6),
    ]  # fmt: skip
    assert all(0 <= row["masked_acc"] <= 1 for row in rows)
    summary = read_json(trained / "summary.json")
    assert (summary["step"], summary["is_complete"]) == (6, True)
    assert summary["valid"]["majority_share"] >= 1 / NUM_CLUSTERS
    assert summary["valid"]["times_majority"] == pytest.approx(
        summary["valid"]["masked_acc"] / summary["valid"]["majority_share"]
    )
    assert summary["train"]["x_real_time"] > 0
    assert "provenance" not in summary
    assert "time" in read_json(trained / "provenance.json")
    assert (trained / "plots/accuracy.png").is_file()


def test_the_saved_config_is_whole_and_resolved(dump, trained):
    saved = load_yaml(trained / "config.yaml")
    assert saved["loss_conf"]["num_classes"] == NUM_CLUSTERS
    assert saved["train_dtype"] == "float32"
    assert saved["phases"][0]["inter_layer"] == {1: 0.3}
    assert saved["mix"]["noise_snr_db"] == [-5.0, 20.0]
    assert len(saved["plan"]) == 64
    assert saved["banks"] == {
        name: sha256_file(dump / name / "bank.json") for name in ("noise", "rirs")
    }


@pytest.mark.parametrize(
    ("phases", "banks"),
    [
        ([{"noise_prob": 0.5, "rir_prob": 0.0}], ["noise"]),
        ([{}, {"noise_prob": 0.1, "rir_prob": 0.1}], ["noise", "rirs"]),
        (None, []),
    ],
)
def test_the_banks_that_a_phase_uses_decide_the_run(dump, tmp_path, phases, banks):
    kwargs = {"dump": dump, "exp": tmp_path, "labels_tag": TAG, "ngpu": 0}
    unit = pretrain_unit(kwargs, {"pretrain": {"phases": phases}}, 1, 1)
    assert unit.inputs[4:] == [dump / name / "bank.json" for name in banks]


@pytest.mark.parametrize("stop", [4, 5])
def test_a_resumed_pre_training_equals_one_that_never_stopped(dump, trained, tmp_path, stop):
    recipe = write_recipe(tmp_path / "recipe.yaml")
    pretrain(recipe, [f"pretrain.max_steps={stop}"], dump, TAG, tmp_path, 0)
    pretrain(recipe, ["pretrain.num_workers=1"], dump, TAG, tmp_path, 0)
    whole, parts = (load_tensors(step_path(f / "checkpoints", 6)) for f in (trained, tmp_path))
    for name, tensor in whole["model"].items():
        assert torch.equal(tensor, parts["model"][name]), name


def test_the_majority_share_is_counted_on_the_masked_frames(dump, trained):
    saved = load_yaml(trained / "config.yaml")
    model = build_model(SSLModelConfig.from_espnet(saved, "saved"))
    valid = validation_batches(dump, TAG, 5, World())
    config = TrainConfig(max_steps=1, valid_batches=2, phases=(Phase(mask_prob=0.5),))
    share = majority_share(model.masker, valid, config, World())
    assert model.masker.mask_prob == 0.65
    model.masker.mask_prob = 0.5
    targets = []
    for [batch] in valid.loader(0, 2, 0):
        where = model.masker.draw(*batch["text"].shape, "cpu", None, batch["mask_uniforms"])
        targets += batch["text"][where].tolist()
    assert share == np.bincount(targets).max() / len(targets)


def test_spans_apart_and_masked_channels_train(dump, tmp_path):
    masks = {
        "mask_prob": 0.5, "mask_length": 4, "no_mask_overlap": True, "mask_min_space": 1,
        "mask_channel_prob": 0.3, "mask_channel_length": 2,
    }  # fmt: skip
    recipe = write_recipe(tmp_path / "recipe.yaml", masker_conf=masks)
    pretrain(recipe, [], dump, TAG, tmp_path, 0)
    summary = read_json(tmp_path / "summary.json")
    assert (summary["train"]["skipped"], summary["is_complete"]) == (0, True)
    assert summary["valid"]["majority_share"] >= 1 / NUM_CLUSTERS


def test_without_a_mask_the_visible_frames_can_be_learnt(dump, tmp_path):
    changes = {
        "masker_conf": {"mask_prob": 0.0}, "loss_conf": {"final_dim": 8, "unmasked_weight": 1.0}
    }  # fmt: skip
    recipe = write_recipe(tmp_path / "recipe.yaml", **changes)
    pretrain(recipe, [], dump, TAG, tmp_path, 0)
    summary = read_json(tmp_path / "summary.json")
    assert 0 < summary["train"]["loss"] < 10
    assert summary["train"]["skipped"] == 0
    assert summary["valid"]["majority_share"] == 0
    assert "masked_acc" not in summary["valid"]


def test_a_step_without_a_masked_frame_moves_no_weight(dump):
    loss = {"final_dim": 8, "num_classes": NUM_CLUSTERS}
    model = build_model(SSLModelConfig.from_espnet({**MODEL, "loss_conf": loss}, "test"))
    trainer = Trainer(model, TrainConfig(max_steps=1), World(), seed=0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.masker.mask_prob = 0.0
    outcome = trainer.update(validation_batches(dump, TAG, 5, World()).batch(0))
    assert (outcome.skipped, outcome.norm) == (1, 0)
    assert [output.weight for output in outcome.outputs] == [0]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mix": {"noise_prob": 0.1}}, "noise_prob belongs into phases, not into mix"),
        ({"max_step": 9}, "max_step is not a known key; did you mean 'max_steps'"),
        (
            {"phases": [{"until": 3, "mask_prob": 0.0}, {}]},
            "mask_prob 0 leaves no frame to predict; raise it, or set loss_conf.unmasked_weight",
        ),
        ({"encoder_conf": {"num_blcks": 2}}, "did you mean 'num_blocks'"),
        (
            {"loss_conf": {"num_classes": 7}},
            "num_classes is 7, the labels have 4 clusters: these are another codebook's labels",
        ),
    ],
)
def test_a_recipe_that_cannot_be_used_is_refused(dump, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        pretrain(write_recipe(tmp_path / "recipe.yaml", **changes), [], dump, TAG, tmp_path, 0)


def test_training_and_validation_labels_must_be_of_one_codebook(dump, tmp_path):
    other = shutil.copytree(dump, tmp_path / "dump")
    sidecar = other / "valid/labels" / TAG / "labels.json"
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"codebook_sha256": "ab"}))
    message = rf"train/labels/{TAG} and .*valid/labels/{TAG} hold labels of two codebooks"
    with pytest.raises(ConfigError, match=message):
        pretrain(write_recipe(tmp_path / "recipe.yaml"), [], other, TAG, tmp_path / "exp", 0)


def test_an_experiment_refuses_another_recipe(dump, trained):
    with pytest.raises(ConfigError, match=r"optim_conf.lr: was 0.003, now 0.5"):
        pretrain(trained / "recipe.yaml", ["pretrain.optim_conf.lr=0.5"], dump, TAG, trained, 0)


def test_an_average_is_taken_in_double_and_whole_numbers_are_kept(tmp_path):
    for step, value in ((1, 1.0), (2, 2.0), (3, 6.0)):
        model = {"w": torch.tensor([value]), "n": torch.tensor(step)}
        save_tensors(step_path(tmp_path, step), {"model": model})
    mean = average([step_path(tmp_path, step) for step in (1, 2, 3)])
    assert (mean["w"].item(), mean["n"].item()) == (3.0, 3)
    assert mean["w"].dtype == torch.float32


def test_checkpoints_of_two_models_have_no_average(tmp_path):
    for step in (1, 2):
        save_tensors(step_path(tmp_path, step), {"model": {"w": torch.zeros(step)}})
    with pytest.raises(CheckpointError, match=r"step_0000002.pth holds other tensors"):
        average([step_path(tmp_path, step) for step in (1, 2)])


def test_blocks_after_the_last_loss_are_refused_where_ddp_waits_for_their_gradients():
    loss = {**MODEL["loss_conf"], "num_classes": 8, "layers": [0]}
    blocks = {**MODEL["encoder_conf"], "num_blocks": 2}
    model = {**MODEL, "loss_conf": loss, "encoder_conf": blocks}
    model = SSLModelConfig.from_espnet(model, "a test")
    two, ddp = World(size=2), TrainConfig(max_steps=9)
    with pytest.raises(ConfigError, match=r"leaves out the last block \(1\), and DDP needs"):
        check_replicated(model, ddp, two)
    check_replicated(model, TrainConfig(max_steps=9, parallel="fsdp"), two)
    check_replicated(model, ddp, World())
    last = replace(model, losses=(replace(model.losses[0], layers=(1,)),))
    check_replicated(last, ddp, two)
