"""Stage 8: a model, planned batches with labels, and the loop, put together for one rank."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from espnet2.data.augment import MixConfig
from espnet2.data.dataset import PretrainBatches
from espnet2.data.labels import LabelStore
from espnet2.ssl.config import SSLModelConfig, model_keys
from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.ssl.factory import build_model
from espnet2.ssl.flops import training_flops
from espnet2.train.batches import (
    PhaseMixing,
    majority_share,
    training_batches,
    validation_batches,
)
from espnet2.train.config import TrainConfig, train_config
from espnet2.train.distributed import World, joined
from espnet2.train.loop import train
from espnet2.train.memory import give_back_freed_memory
from espnet2.utils.config import from_dict, load_section, load_seed, to_dict
from espnet2.utils.errors import ConfigError, XeusError
from espnet2.utils.seeding import seed_for

WHERE = "section pretrain"


def pretrain(
    conf: Path, overrides: list[str], dump: Path, labels_tag: str, exp: Path, ngpu: int
) -> dict[str, Any]:
    """Train to the last step, or go on with a run that stopped; returns the summary.

    Args:
        conf: the recipe; its section ``pretrain`` with ``overrides`` and its ``seed`` are read.
        ngpu: 0 trains on the CPU.

    Raises:
        ConfigError: settings that cannot be used, or other ones than ``exp`` was begun with.
        DataError: no plan, no labels, or labels of another index.
        XeusError: a stop signal came; a checkpoint was saved.
    """
    options, seed = load_section(conf, "pretrain", overrides), load_seed(conf, overrides)
    config = split_options(options)[1]  # refused before ranks wait for each other
    with joined(ngpu, config.watchdog_s) as world:
        summary = pretrain_rank(dump, labels_tag, exp, options, seed, world)
    if not summary["is_complete"]:
        raise XeusError(
            f"stopped by a signal; {exp} holds a checkpoint of step {summary['step']}: "
            "run the same command to go on"
        )
    return summary


def pretrain_rank(
    dump: Path, labels_tag: str, exp: Path, options: dict[str, Any], seed: int, world: World
) -> dict[str, Any]:
    """One rank's part of ``pretrain``; a summary that is not complete means a stop signal."""
    run = prepare(dump, labels_tag, options, seed, world)
    constants = {}
    if run.config.valid_interval_steps:
        share = majority_share(run.model.masker, run.valid, run.config, world)
        constants["majority_share"] = share
    return train(
        run.model, run.batches, run.config, exp, world,
        seed=seed, settings=run.settings, valid=run.valid, constants=constants,
        flops=training_flops(run.model_config), languages=run.batches.languages,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """Everything a rank trains with."""

    model: ESPnetSSLModel
    model_config: SSLModelConfig
    config: TrainConfig
    batches: PretrainBatches
    valid: PretrainBatches

    settings: dict[str, Any]
    """All of it that a checkpoint must agree with, as plain data."""


def prepare(
    dump: Path, labels_tag: str, options: dict[str, Any], seed: int, world: World
) -> Pretraining:
    """Model, data and settings of the section ``pretrain``, checked against each other."""
    if world.device.type == "cpu":
        give_back_freed_memory()
    model_part, config, mix = split_options(options)
    batches = training_batches(dump, labels_tag, PhaseMixing(config=config, mix=mix), seed, world)
    valid = validation_batches(dump, labels_tag, seed, world)
    labels = batches.labels.info
    check_codebook(batches.labels, valid.labels)
    model_part = with_num_classes(model_part, labels.num_clusters)
    model_config = SSLModelConfig.from_espnet(model_part, WHERE)
    check_masking(model_config, config)
    check_replicated(model_config, config, world)
    torch.manual_seed(seed_for(seed, "model"))
    model = build_model(model_config)
    for part in (batches, valid):  # only the built model knows how many channels it masks
        part.extra_uniforms = model.masker.extra_uniforms
    banks = {"noise": batches.noise, "rirs": batches.rirs}
    settings = {
        **model_part, **to_dict(config), "mix": to_dict(mix), "seed": seed,
        "labels": to_dict(labels), "plan": batches.plan.fingerprint,
        "banks": {name: bank.fingerprint for name, bank in banks.items() if bank is not None},
    }  # fmt: skip
    return Pretraining(
        model=model, model_config=model_config, config=config, batches=batches, valid=valid,
        settings=settings,
    )  # fmt: skip


def split_options(options: dict[str, Any]) -> tuple[dict[str, Any], TrainConfig, MixConfig]:
    """ESPnet's flat keys as the model's part, the loop's and the mixer's.

    Raises:
        ConfigError: an unknown key, or a chance of noise outside the phases.
    """
    model_part, rest = model_keys(options)
    mix = rest.pop("mix", None) or {}
    for key in ("noise_prob", "rir_prob"):
        if key in mix:
            raise ConfigError(f"{WHERE}: {key} belongs into phases, not into mix")
    return model_part, train_config(rest, WHERE), from_dict(MixConfig, mix, f"{WHERE}: mix")


def check_options(options: dict[str, Any]) -> None:
    """Refuse what the section itself makes impossible, before there are labels.

    Raises:
        ConfigError: an unknown key, a wrong value, or a phase without anything to predict.
    """
    model_part, config, _ = split_options(options)
    model_part = with_num_classes(model_part, loss_conf(model_part).get("num_classes", 2))
    check_masking(SSLModelConfig.from_espnet(model_part, WHERE), config)


def check_codebook(train_labels: LabelStore, valid_labels: LabelStore) -> None:
    """Refuse sets whose labels do not mean the same.

    Raises:
        ConfigError: their codebooks differ.
    """
    if train_labels.info.codebook_sha256 != valid_labels.info.codebook_sha256:
        raise ConfigError(
            f"{train_labels.folder} and {valid_labels.folder} hold labels of two codebooks; run "
            "the label stage for both"
        )


def check_masking(model: SSLModelConfig, config: TrainConfig) -> None:
    """Refuse a phase without anything to predict, before the first step.

    Raises:
        ConfigError: a mask_prob of 0 where visible frames do not count.
    """
    learns_visible = all(loss.unmasked_weight for loss in model.losses)
    for phase in config.phases:
        prob = model.masker.mask_prob if phase.mask_prob is None else phase.mask_prob
        if prob == 0 and not learns_visible:
            raise ConfigError(
                f"{WHERE}: mask_prob 0 leaves no frame to predict; raise it, or set "
                "loss_conf.unmasked_weight to learn from visible frames"
            )


def check_replicated(model: SSLModelConfig, config: TrainConfig, world: World) -> None:
    """Refuse blocks without a gradient where DDP would wait for it, before the second step.

    Raises:
        ConfigError: no loss reads the last hidden state.
    """
    last, layers = model.encoder.num_blocks - 1, [loss.layers for loss in model.losses]
    is_read = any({-1, last} & set(chosen) for chosen in layers)
    if world.size > 1 and config.parallel == "ddp" and not is_read:
        raise ConfigError(
            f"{WHERE}: loss_conf.layers leaves out the last block ({last}), and DDP needs a "
            "gradient for every weight: add it, use fewer encoder_conf.num_blocks, or set "
            "parallel: fsdp"
        )


def loss_conf(model_part: dict[str, Any]) -> dict[str, Any]:
    """The section's ``loss_conf``, empty where it has none."""
    conf = model_part.get("loss_conf") or {}
    if not isinstance(conf, dict):
        raise ConfigError(f"{WHERE}: loss_conf must be a mapping, got {conf!r}")
    return conf


def with_num_classes(model_part: dict[str, Any], num_clusters: int) -> dict[str, Any]:
    """The model's keys with as many classes as the labels have, where they leave it open.

    Raises:
        ConfigError: they ask for another number.
    """
    conf = loss_conf(model_part)
    asked = conf.get("num_classes", num_clusters)
    if asked != num_clusters:
        raise ConfigError(
            f"{WHERE}: loss_conf.num_classes is {asked}, the labels have {num_clusters} clusters: "
            "these are another codebook's labels"
        )
    return {**model_part, "loss_conf": {**conf, "num_classes": num_clusters}}
