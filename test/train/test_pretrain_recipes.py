"""The pre-trainings in ``conf``: the paper's numbers, the same batch on other GPUs, sizes."""

import dataclasses
from pathlib import Path

import pytest
import torch

from espnet2.data.augment import MixConfig
from espnet2.ssl.config import SSLModelConfig
from espnet2.ssl.factory import build_model
from espnet2.train.config import OptimConfig, Phase
from espnet2.train.pretrain import split_options, with_num_classes
from espnet2.utils.config import load_section

CONF = Path(__file__).resolve().parents[2] / "conf"


def recipe(name, clusters=2048, overrides=()):
    """(model, training, augmentation) of a recipe YAML."""
    part, training, mix = split_options(load_section(CONF / name, "pretrain", overrides))
    model = SSLModelConfig.from_espnet(with_num_classes(part, clusters), name)
    return model, training, mix


def parameters(model):
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_model(model).parameters())


def test_xeus_is_trained_as_the_paper_and_its_authors_configuration_say():
    model, training, mix = recipe("xeus.yaml")
    assert training.optim_conf == OptimConfig(lr=3e-4, betas=(0.9, 0.999), eps=1e-8)
    assert (training.optim, training.scheduler) == ("adam", "warmuplr")
    assert training.scheduler_conf == {"warmup_steps": 32_000}
    assert (training.max_steps, training.grad_clip, training.accum_grad) == (670_000, 10.0, 1)
    assert (training.train_dtype, training.ddp_comm_hook) == ("bfloat16", "bf16")
    assert training.phases == (
        Phase(until=3000, mask_prob=0.65, inter_layer={10: 0.3}),
        Phase(mask_prob=0.8, noise_prob=0.2, rir_prob=0.3),
    )
    assert training.max_steps // training.intermediate_interval_steps == 200
    assert mix == MixConfig(speech_share=0.5, noise_snr_db=(-5.0, 20.0), speech_snr_db=(-5.0, 5.0))
    masker = model.masker
    assert (masker.mask_prob, masker.mask_length, masker.mask_other) == (0.8, 10, 0.0)
    assert masker.mask_selection == "uniform"
    [loss] = model.losses
    assert (loss.kind, loss.num_classes, loss.final_dim) == ("hubert_ce", 2048, 768)
    assert (loss.layers, loss.layer_weights) == ((18,), (1.0,))
    assert (model.model.feature_grad_mult, model.model.feature_penalty_weight) == (0.1, 10.0)
    assert parameters(model) == 576_484_736


def test_on_eight_h200_a_step_is_the_papers():
    plan = load_section(CONF / "xeus.yaml", "plan")
    assert plan == load_section(CONF / "xeus_h200x8.yaml", "plan")
    assert plan["batch_bins"] == 64 * 1_600_000
    assert plan["batch_multiple"] % 64 == 0
    (model, training, mix), (paper, papers, papers_mix) = map(
        recipe, ("xeus_h200x8.yaml", "xeus.yaml")
    )
    assert plan["batch_multiple"] % (8 * training.accum_grad) == 0
    assert mix == papers_mix
    encoder = dataclasses.replace(model.encoder, activation_ckpt=True)
    assert dataclasses.replace(model, encoder=encoder) == paper
    own = {"accum_grad": 2, "compile": "buckets", "num_workers": 12}
    assert dataclasses.replace(papers, **own) == training


@pytest.mark.parametrize(
    ("name", "overrides", "millions"),
    [
        ("mini.yaml", [], 1.6),
        ("mini_long.yaml", [], 1.6),
        ("mini_noisy.yaml", [], 1.6),
        ("xeus.yaml", ["pretrain=pretrain/base.yaml"], 96),
    ],
)
def test_other_models_have_the_size_that_their_yaml_tells(name, overrides, millions):
    size = parameters(recipe(name, 500, overrides)[0]) / 1e6
    assert size == pytest.approx(millions, rel=0.05)
