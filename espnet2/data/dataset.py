"""Batch ``s`` of pre-training as a function of ``s``: decode, crop, mix, reverberate, stack.

A row of a batch is an utterance or a packed piece of several (``clips``). Every random choice of a
row comes from its own generator, named by purpose, visit (how often the row was drawn before) and
utterance id or piece number, so it does not depend on rank, worker, order or batch mates. Labels
are cut on the 320-sample grid together with the clean audio.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from espnet2.data.augment import MixConfig, Mixture, Room, augment, draw_mixture
from espnet2.data.augment_torch import packed
from espnet2.data.banks import Bank
from espnet2.data.clips import Clip, Pieces, Utterances
from espnet2.data.frames import HOP_SAMPLES, num_frames
from espnet2.data.index import Index
from espnet2.data.labels import LabelStore
from espnet2.data.plan import Plan, PlannedBatch
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.seeding import rng_for

PREFETCH_STEPS = 4  # a worker

# Shapes: B rows of a micro-batch, S samples, T frames.
Batch = dict[str, torch.Tensor | list[str]]


@dataclass(frozen=True, kw_only=True)
class Item:
    """One row of a batch."""

    utt_id: str  # of a piece: the ids of its utterances
    speech: np.ndarray  # (S,) float32
    labels: np.ndarray  # (T,) cluster ids of the clean audio
    mask_uniforms: np.ndarray  # (2 T + 1 + extra,) float32 in [0, 1), for the masker
    mixture: Mixture | None = None  # drawn, and left to the device to apply
    room: Room | None = None


def crop(clip: Clip, start: int, num_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """The same stretch of audio and labels. ``start``, in samples, must lie on the grid."""
    if start % HOP_SAMPLES:
        raise ValueError(f"start must be a multiple of {HOP_SAMPLES} samples, got {start}")
    first = start // HOP_SAMPLES
    return (
        clip.audio[start : start + num_samples],
        clip.labels[first : first + num_frames(num_samples)],
    )


class PretrainBatches:
    """This rank's part of every step, as micro-batches.

    config: augmentation, or a function from step to augmentation (phases). noise and rirs may be
    None where the augmentation does not use them. Raises DataError when plan and labels belong to
    different indexes, and ConfigError when the plan's batches cannot be shared out evenly among
    ``world * accum_grad`` micro-batches.
    """

    def __init__(
        self,
        index: Index,
        labels: LabelStore,
        plan: Plan,
        noise: Bank | None,
        rirs: Bank | None,
        config: MixConfig | Callable[[int], MixConfig],
        seed: int,
        rank: int = 0,
        world: int = 1,
        accum_grad: int = 1,
    ):  # fmt: skip
        self.index, self.labels, self.plan = index, labels, plan
        self.noise, self.rirs = noise, rirs
        self.config, self.seed = config, seed
        self.rank, self.world, self.accum_grad = rank, world, accum_grad
        self.extra_uniforms = 0  # a row: what the masker takes beyond 2 T + 1, for channels
        if plan.summary["index_sha256"] != labels.info.index_sha256:
            raise DataError(
                f"{plan.folder}: planned for another index than the labels in {labels.folder}; "
                f"run stages 5 (label) and 7 (plan) again"
            )
        has_pieces = plan.is_packed and plan.buckets
        self.clips = Pieces(index, labels, plan.stream) if has_pieces else Utterances(index, labels)
        uneven = [b.batch for b in plan.buckets if b.batch % (world * accum_grad)]
        if uneven:
            raise ConfigError(
                f"{plan.folder}: batches of {uneven[0]} rows cannot be shared among {world} "
                f"ranks x {accum_grad} accumulation steps; set plan.batch_multiple to a multiple "
                f"of {world * accum_grad} and run stage 7 (plan) again"
            )

    def batch(self, step: int) -> list[Batch]:
        """Micro-batches of ``step`` for this rank: accum_grad dicts of tensors.

        speech (B, S) float32, speech_lengths (B,), text (B, T) int64 cluster ids,
        text_lengths (B,), mask_uniforms (B, 2 T + 1 + extra_uniforms) float32, utt_ids: list
        of B ids; with ``augment_on: device`` also what ``augment_torch.augmented`` applies.
        """
        planned = self.plan.batch(step)
        mixing = self.mixing(step)
        clean: dict[int, Clip] = {}  # decoded audio of this step by row
        items = [
            self.item(planned, i, mixing, clean)
            for i in range(self.rank, len(planned.rows), self.world)
        ]
        size = len(items) // self.accum_grad
        return [stack(items[i : i + size]) for i in range(0, len(items), size)]

    def mixing(self, step: int) -> MixConfig:
        """The augmentation of ``step``. Raises ConfigError when a bank for it is missing."""
        mixing = self.config if isinstance(self.config, MixConfig) else self.config(step)
        if mixing.rir_prob > 0 and not self.rirs:
            raise ConfigError(f"rir_prob is {mixing.rir_prob} at step {step} without a RIR bank")
        if mixing.noise_prob > 0 and mixing.speech_share < 1 and not self.noise:
            raise ConfigError(
                f"noise_prob is {mixing.noise_prob} at step {step} without a noise bank"
            )
        return mixing

    def item(
        self, planned: PlannedBatch, i: int, mixing: MixConfig, clean: dict[int, Clip]
    ) -> Item:
        """Row ``i`` of the global batch, cropped and augmented."""
        row, visit = int(planned.rows[i]), int(planned.visits[i])
        key = self.clips.key(row)
        clip = self.clip(row, clean)
        places = (len(clip.audio) - planned.num_samples) // HOP_SAMPLES + 1  # 1 for a piece
        place = rng_for(self.seed, "crop", visit, key).integers(places) if places > 1 else 0
        speech, labels = crop(clip, int(place) * HOP_SAMPLES, planned.num_samples)
        mixture = self.mixture(speech, planned, i, key, mixing, clean)
        room = self.room(visit, key, mixing)
        if mixing.augment_on == "loader":
            speech, mixture, room = augment(speech, mixture, room), None, None
        uniforms = rng_for(self.seed, "mask", visit, key).random(
            2 * len(labels) + 1 + self.extra_uniforms, dtype=np.float32
        )
        return Item(
            utt_id=self.clips.name(row), speech=speech, labels=labels, mask_uniforms=uniforms,
            mixture=mixture, room=room,
        )  # fmt: skip

    def clip(self, row: int, clean: dict[int, Clip]) -> Clip:
        """Clean audio and labels of a row, decoded once a step."""
        if row not in clean:
            clean[row] = self.clips.clip(row)
        return clean[row]

    def mixture(
        self,
        speech: np.ndarray,
        planned: PlannedBatch,
        i: int,
        key: str,
        mixing: MixConfig,
        clean: dict[int, Clip],
    ) -> Mixture | None:
        """Perhaps a noise, or another clean row of the batch, to mix into ``speech`` (samples,)."""
        if not mixing.noise_prob:
            return None
        rng = rng_for(self.seed, "noise", int(planned.visits[i]), key)
        if rng.random() >= mixing.noise_prob:
            return None
        others = planned.rows[planned.rows != planned.rows[i]]
        is_speech = rng.random() < mixing.speech_share
        if is_speech and len(others):
            other = self.clip(int(others[rng.integers(len(others))]), clean).audio
            snr_db = mixing.speech_snr_db
        elif self.noise:
            other, snr_db = self.noise[int(rng.integers(len(self.noise)))], mixing.noise_snr_db
        else:
            return None  # alone in its batch, and speech was the only kind asked for
        return draw_mixture(speech, other, snr_db, mixing.max_mixed_share, rng)

    def room(self, visit: int, key: str, mixing: MixConfig) -> Room | None:
        """Perhaps a room of the bank."""
        if not mixing.rir_prob:
            return None
        rng = rng_for(self.seed, "rir", visit, key)
        if rng.random() >= mixing.rir_prob:
            return None
        i = int(rng.integers(len(self.rirs)))
        return Room(rir=self.rirs[i], delay=int(self.rirs.delays[i]))

    def loader(self, start: int, stop: int, num_workers: int = 0) -> Iterable[list[Batch]]:
        """``batch(start)`` to ``batch(stop - 1)``, in order, prefetched by worker processes."""
        return DataLoader(
            Steps(self, start, stop),
            batch_size=None,
            shuffle=False,
            num_workers=num_workers,
            prefetch_factor=PREFETCH_STEPS if num_workers else None,
        )


class Steps(Dataset):
    """Steps ``start`` to ``stop`` as a data set whose items are whole batches."""

    def __init__(self, batches: PretrainBatches, start: int, stop: int):
        self.batches, self.start, self.stop = batches, start, stop

    def __len__(self) -> int:
        return max(self.stop - self.start, 0)

    def __getitem__(self, item: int) -> list[Batch]:
        if not 0 <= item < len(self):
            raise IndexError(f"step {item} of {len(self)}")
        return self.batches.batch(self.start + item)


def stack(items: list[Item]) -> Batch:
    """Rows of one length as a batch; see :meth:`PretrainBatches.batch`."""
    speech = np.stack([item.speech for item in items])  # (B, S)
    labels = np.stack([item.labels for item in items])  # (B, T)
    return {
        "speech": torch.from_numpy(speech.astype(np.float32, copy=False)),
        "speech_lengths": torch.full((len(items),), speech.shape[1]),
        "text": torch.from_numpy(labels.astype(np.int64)),
        "text_lengths": torch.full((len(items),), labels.shape[1]),
        "mask_uniforms": torch.from_numpy(np.stack([item.mask_uniforms for item in items])),
        "utt_ids": [item.utt_id for item in items],
        **packed([item.mixture for item in items], [item.room for item in items]),
    }
