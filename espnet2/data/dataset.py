"""Batch ``s`` of pre-training as a function of ``s``: decode, crop, mix, reverberate, stack.

A row of a batch is an utterance or a packed piece of several (``clips``). Every random choice of a
row comes from its own generator, named by purpose, visit (how often the row was drawn before) and
utterance id or piece number, so it does not depend on rank, worker, order or batch mates. Labels
are cut on the 320-sample grid together with the clean audio. Where audio cannot be read, another
row stands in (``replacement``).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from espnet2.data.augment import MixConfig, Mixture, Room, augment, draw_mixture
from espnet2.data.augment_torch import packed
from espnet2.data.banks import Bank
from espnet2.data.clips import Clip, Pieces, Utterances
from espnet2.data.frames import HOP_SAMPLES, SAMPLE_RATE_HZ, num_frames
from espnet2.data.index import Index
from espnet2.data.labels import LabelStore
from espnet2.data.plan import Plan
from espnet2.data.replacement import Places
from espnet2.utils.errors import ConfigError, DataError, XeusError
from espnet2.utils.processes import loader_workers
from espnet2.utils.seeding import rng_for

PREFETCH_STEPS = 4  # a worker
MAX_LANGUAGES = 2**15 - 1  # what int16 can count

# Shapes: B rows of a micro-batch, S samples, T frames.
Batch = dict[str, torch.Tensor | list[str] | list[tuple[str, str]]]


@dataclass(frozen=True, kw_only=True)
class Item:
    """One row of a batch."""

    utt_id: str  # of a piece: the ids of its utterances
    speech: np.ndarray  # (S,) float32
    labels: np.ndarray  # (T,) cluster ids of the clean audio
    languages: np.ndarray  # (T,) int16 codes
    mask_uniforms: np.ndarray  # (2 T + 1 + extra,) float32 in [0, 1), for the masker
    mixture: Mixture | None = None  # drawn, and left to the device to apply
    room: Room | None = None
    replaced: tuple[tuple[str, str], ...] = ()  # (utt_id, reason) of what could not be read


def refuse_misfit(index: Index, plan: Plan, world: int, accum_grad: int) -> None:
    """Raise DataError or ConfigError where plan, index and number of ranks do not go together."""
    if plan.summary["index_sha256"] != index.fingerprint:
        raise DataError(
            f"{plan.folder}: planned for another index than {index.path}; run stage 7 (plan) again"
        )
    if (count := len(index.languages.known)) > MAX_LANGUAGES:
        raise DataError(f"{index.path}: {count:,} languages; at most {MAX_LANGUAGES:,} are counted")
    parts = world * accum_grad
    for bucket in plan.buckets:
        if bucket.batch % parts:
            raise ConfigError(
                f"{plan.folder}: batches of {bucket.batch} rows (the bucket of "
                f"{bucket.num_samples / SAMPLE_RATE_HZ:.3g} s holds {bucket.count:,}) cannot be "
                f"shared among {world} ranks x {accum_grad} accumulation steps; set "
                f"plan.batch_multiple to a multiple of {parts} and run stage 7 (plan) again"
            )


def crop(clip: Clip, start: int, num_samples: int) -> Clip:
    """The same stretch of audio and frames. ``start``, in samples, must lie on the grid."""
    if start % HOP_SAMPLES:
        raise ValueError(f"start must be a multiple of {HOP_SAMPLES} samples, got {start}")
    frames = slice(start // HOP_SAMPLES, start // HOP_SAMPLES + num_frames(num_samples))
    return Clip(
        audio=clip.audio[start : start + num_samples],
        labels=clip.labels[frames],
        languages=clip.languages[frames],
    )


class PretrainBatches:
    """This rank's part of every step, as micro-batches.

    config: augmentation, or a function from step to augmentation (phases). noise and rirs may be
    None where the augmentation does not use them. Raises DataError when the plan is of another
    index or there are too many languages, and ConfigError when the plan's batches cannot be shared
    out evenly among ``world * accum_grad`` micro-batches.
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
        refuse_misfit(index, plan, world, accum_grad)
        has_pieces = plan.is_packed and plan.buckets
        self.clips = Pieces(index, labels, plan.stream) if has_pieces else Utterances(index, labels)

    @property
    def languages(self) -> Sequence[str]:
        """Names of the codes in a batch's ``languages``."""
        return self.index.languages.names

    def batch(self, step: int) -> list[Batch]:
        """Micro-batches of ``step`` for this rank: accum_grad dicts of tensors.

        speech (B, S) float32, speech_lengths (B,), text (B, T) int64 cluster ids,
        text_lengths (B,), mask_uniforms (B, 2 T + 1 + extra_uniforms) float32; with
        ``augment_on: device`` also what ``augment_torch.augmented`` applies. For the record, not
        for the model: languages (B, T) int16, the code of each frame's utterance; utt_ids: list of
        B ids; replaced: list of (utt_id, reason), one for each utterance whose audio could not be
        read and whose place, on this rank, another row took.
        """
        planned, mixing = self.plan.batch(step), self.mixing(step)
        places = Places(self.clips, self.plan, planned, self.seed)
        items = [
            self.item(places, i, planned.num_samples, mixing)
            for i in range(self.rank, len(places), self.world)
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

    def item(self, places: Places, i: int, num_samples: int, mixing: MixConfig) -> Item:
        """Place ``i`` of the global batch, cropped and augmented."""
        place, visit, key = places[i], places.visit(i), places.key(i)
        starts = (len(place.clip.audio) - num_samples) // HOP_SAMPLES + 1  # 1 for a piece
        start = rng_for(self.seed, "crop", visit, key).integers(starts) if starts > 1 else 0
        clip = crop(place.clip, int(start) * HOP_SAMPLES, num_samples)
        speech, mixture = clip.audio, self.mixture(clip.audio, places, i, mixing)
        room = self.room(visit, key, mixing)
        if mixing.augment_on == "loader":
            speech, mixture, room = augment(speech, mixture, room), None, None
        uniforms = rng_for(self.seed, "mask", visit, key).random(
            2 * len(clip.labels) + 1 + self.extra_uniforms, dtype=np.float32
        )
        return Item(
            utt_id=self.clips.name(place.row), speech=speech, labels=clip.labels,
            languages=clip.languages, mask_uniforms=uniforms, mixture=mixture, room=room,
            replaced=place.replaced,
        )  # fmt: skip

    def mixture(
        self, speech: np.ndarray, places: Places, i: int, mixing: MixConfig
    ) -> Mixture | None:
        """Perhaps a noise, or another clean place of the batch, to mix into ``speech`` (samples,).

        Another speaker who cannot be read is heard as who stands in for them in the batch; it is
        their own place that reports it, whichever rank that is on.
        """
        if not mixing.noise_prob:
            return None
        rng = rng_for(self.seed, "noise", places.visit(i), places.key(i))
        if rng.random() >= mixing.noise_prob:
            return None
        others = places.others(i)
        is_speech = rng.random() < mixing.speech_share
        if is_speech and len(others):
            other = places[int(others[rng.integers(len(others))])].clip.audio
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
        """``batch(start)`` to ``batch(stop - 1)``, in order, prefetched by worker processes.

        Raises what ``batch`` raises, whichever process it was raised in.
        """
        loader = DataLoader(
            Steps(self, start, stop),
            batch_size=None,
            shuffle=False,
            prefetch_factor=PREFETCH_STEPS if num_workers else None,
            collate_fn=as_it_is,
            **loader_workers(num_workers),
        )
        for batches in loader:
            if isinstance(batches, Exception):
                raise batches
            yield batches


class Steps(Dataset):
    """Steps ``start`` to ``stop`` as a data set whose items are whole batches.

    An error for people is an item too: torch would put a traceback into its message.
    """

    def __init__(self, batches: PretrainBatches, start: int, stop: int):
        self.batches, self.start, self.stop = batches, start, stop

    def __len__(self) -> int:
        return max(self.stop - self.start, 0)

    def __getitem__(self, item: int) -> list[Batch] | XeusError | OSError:
        if not 0 <= item < len(self):
            raise IndexError(f"step {item} of {len(self)}")
        try:
            return self.batches.batch(self.start + item)
        except (XeusError, OSError) as error:
            return error


def as_it_is(batches: list[Batch]) -> list[Batch]:
    """For torch, which would make lists of tuples."""
    return batches


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
        "languages": torch.from_numpy(np.stack([item.languages for item in items])),
        "utt_ids": [item.utt_id for item in items],
        "replaced": [one for item in items for one in item.replaced],
        **packed([item.mixture for item in items], [item.room for item in items]),
    }
