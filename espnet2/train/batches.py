"""What pre-training reads: planned batches with each phase's augmentation, and fixed ones to
validate on."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from espnet2.data.augment import CLEAN, MixConfig
from espnet2.data.banks import Bank
from espnet2.data.dataset import PretrainBatches
from espnet2.data.index import Index
from espnet2.data.labels import LabelStore
from espnet2.data.plan import Plan
from espnet2.ssl.masking import Masker
from espnet2.train.config import TrainConfig
from espnet2.train.distributed import World


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhaseMixing:
    """The augmentation of any step: the phase's chances, everything else from ``mix``."""

    config: TrainConfig
    mix: MixConfig

    def __call__(self, step: int) -> MixConfig:
        phase = self.config.phase_at(step)
        return dataclasses.replace(self.mix, noise_prob=phase.noise_prob, rir_prob=phase.rir_prob)


def training_batches(
    dump: Path, labels_tag: str, mixing: PhaseMixing, seed: int, world: World
) -> PretrainBatches:
    """This rank's training batches; banks that no phase needs are not opened."""
    phases = mixing.config.phases
    return PretrainBatches(
        *planned_labels(dump / "train", labels_tag),
        noise=Bank.open(dump / "noise") if any(phase.noise_prob for phase in phases) else None,
        rirs=Bank.open(dump / "rirs") if any(phase.rir_prob for phase in phases) else None,
        config=mixing, seed=seed,
        rank=world.rank, world=world.size, accum_grad=mixing.config.accum_grad,
    )  # fmt: skip


def validation_batches(dump: Path, labels_tag: str, seed: int, world: World) -> PretrainBatches:
    """This rank's validation batches: clean, and the same at every validation."""
    return PretrainBatches(
        *planned_labels(dump / "valid", labels_tag),
        noise=None, rirs=None, config=CLEAN, seed=seed, rank=world.rank, world=world.size,
    )  # fmt: skip


def planned_labels(folder: Path, tag: str) -> tuple[Index, LabelStore, Plan]:
    """Index, labels ``tag`` and plan of the set in ``folder``."""
    index = Index.open(folder)
    return index, LabelStore.open(index, folder / "labels" / tag), Plan.open(folder / "plan")


def majority_share(
    masker: Masker, valid: PretrainBatches, config: TrainConfig, world: World
) -> float:
    """Share of the most frequent cluster among the masked validation frames.

    It is what always answering with that cluster would score on the targets of the last phase;
    0 where that phase masks nothing.
    """
    before, last = masker.mask_prob, config.phases[-1].mask_prob
    masker.mask_prob = before if last is None else last
    histogram = np.zeros(valid.labels.info.num_clusters)
    for micro_batches in valid.loader(0, config.valid_batches, 0):
        for batch in micro_batches:
            text = batch["text"]
            is_masked = masker.draw(*text.shape, text.device, None, batch["mask_uniforms"])
            histogram += np.bincount(text[is_masked].numpy(), minlength=len(histogram))
    masker.mask_prob = before
    total = world.sum(torch.from_numpy(histogram).to(world.device))
    return float(total.max() / total.sum().clamp(min=1))
