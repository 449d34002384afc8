"""From cached features and a Kaldi directory to batches of a CTC model.

Steps: choose the task's corpora, drop what CTC cannot align, give each utterance a bucket, draw the
epoch's order, fill batches, pad. Batch ``s`` is a function of (seed, s): nothing to resume.
Shapes: B batch, T frames of 20 ms padded to the bucket, L layers, D width, N target tokens.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from espnet2.asr.config import BatchConfig, Units
from espnet2.asr.features import FeatureStore
from espnet2.asr.members import is_member
from espnet2.asr.transformer import MIN_FRAMES, frames_left
from espnet2.asr.vocabulary import UNKNOWN, Vocabulary, target_text
from espnet2.asr.waves import Waves
from espnet2.data.frames import HOP_SAMPLES, SAMPLE_RATE_HZ
from espnet2.data.kaldi import read_kaldi
from espnet2.data.phones import TEXT_PHONES
from espnet2.utils.errors import DataError
from espnet2.utils.processes import loader_workers
from espnet2.utils.seeding import rng_for

FRAME_S = HOP_SAMPLES / SAMPLE_RATE_HZ
Batch = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Example:
    """One utterance of a split, as a task sees it."""

    utt_id: str
    row: int  # of the features
    frames: int  # of 20 ms
    language: str  # ISO 639-3
    corpus: str
    target: str  # "[iso] TEXT", "[iso]" or "TEXT"


def read_examples(
    data_dir: Path, features: FeatureStore | Waves, task: str, corpora: list[str],
    units: Units = "characters",
) -> list[Example]:  # fmt: skip
    """The utterances of a split that belong to a task; no corpora named: all of them.

    Raises:
        DataError: features of other data, no utterance of the task, phones that are not there.
    """
    utterances = read_kaldi(data_dir)
    if [u.utt_id for u in utterances] != features.utt_ids:
        raise DataError(f"{data_dir} has changed since its features were made; run stage 11 again")
    lines = (data_dir / "utt2corpus").read_text(encoding="utf-8").split("\n")
    corpus_of = dict(line.split(maxsplit=1) for line in lines if line)
    members = [
        (row, u)
        for row, u in enumerate(utterances)
        if is_member(task, data_dir.name, u.language, corpus_of[u.utt_id], corpora)
    ]
    if not members:
        what = f"the corpora {', '.join(corpora)}" if corpora else task
        raise DataError(f"{data_dir} has no utterance of {what}")
    texts = {u.utt_id: u.text for _, u in members}
    if units == "phones":
        texts = phones_of(data_dir, texts)
    return [
        Example(
            utt_id=u.utt_id, row=row, frames=int(features.frames[row]), language=u.language,
            corpus=corpus_of[u.utt_id], target=target_text(task, u.language, texts[u.utt_id]),
        )
        for row, u in members
    ]  # fmt: skip


def phones_of(data_dir: Path, utt_ids: Iterable[str]) -> dict[str, str]:
    """Phones of some utterances, separated by spaces, from ``text_phones``; "" of what has none.

    Raises:
        DataError: there is no such file.
    """
    path = data_dir / TEXT_PHONES
    if not path.is_file():
        raise DataError(f"{path} is missing; run stage 10 again")
    lines = path.read_text(encoding="utf-8").split("\n")
    phones = dict(line.partition(" ")[::2] for line in lines if line)
    return {utt_id: phones.get(utt_id, "") for utt_id in utt_ids}


def trainable(
    examples: list[Example], vocabulary: Vocabulary
) -> tuple[list[Example], list[tuple[str, str, str]]]:
    """Examples that CTC can align, and rows (utt_id, reason, detail) for dropped.tsv.

    What has tokens that training never saw is kept, as in the benchmark, and listed.
    """
    kept, rows = [], []
    for example in examples:
        ids = vocabulary.encode(example.target)
        have, need = max(frames_left(example.frames), 0), frames_needed(ids)
        unseen = vocabulary.unseen(example.target)
        if not ids:
            rows.append((example.utt_id, "empty transcript", "nothing to learn"))
        elif example.frames < MIN_FRAMES:
            rows.append((example.utt_id, "too short", f"{example.frames} frames"))
        elif need > have:
            detail = f"needs {need} frames of 40 ms, has {have}"
            rows.append((example.utt_id, "more tokens than frames", detail))
        else:
            kept.append(example)
            if unseen:
                detail = f"kept; {' '.join(unseen)} not in training: {UNKNOWN}"
                rows.append((example.utt_id, "unseen tokens", detail))
    return kept, rows


def frames_needed(ids: list[int]) -> int:
    """Frames CTC needs: one a token, and a blank between equal neighbours."""
    return len(ids) + sum(a == b for a, b in zip(ids, ids[1:], strict=False))


def bucket_frames(frames: np.ndarray, bucket_s: float) -> np.ndarray:
    """Frames after padding to a multiple of ``bucket_s``."""
    width = max(round(bucket_s / FRAME_S), 1)
    return -(-frames // width) * width


def fill_batches(rows: np.ndarray, padded: np.ndarray, batch_s: float) -> list[np.ndarray]:
    """Cut ``rows`` into batches of one padded length and at most ``batch_s`` seconds each.

    Bucket by bucket from short to long; what does not fill a batch moves up to the next bucket.
    The number of batches depends on the lengths alone, never on the order of ``rows``.
    """
    batches, left = [], np.empty(0, dtype=np.int64)
    for width in np.unique(padded[rows]):
        pool = np.concatenate([left, rows[padded[rows] == width]])
        size = max(int(batch_s / (max(width, 1) * FRAME_S)), 1)
        full = len(pool) // size * size
        batches += list(pool[:full].reshape(-1, size))
        left = pool[full:]
    return batches + ([left] if len(left) else [])


class Collator:
    """Pads examples into the arguments of ``CTCModel.forward``."""

    names_languages = False
    """Whether batches have ``language_ids`` (B,): a probe with ``lid_weight`` learns them."""

    def __init__(
        self, examples: list[Example], features: FeatureStore | Waves,
        vocabulary: Vocabulary, config: BatchConfig,
    ) -> None:  # fmt: skip
        self.examples, self.features, self.config = examples, features, config
        self.vocabulary = vocabulary
        self.targets = [torch.tensor(vocabulary.encode(e.target)) for e in examples]
        self.language_ids = torch.tensor([vocabulary.language_id(e.language) for e in examples])
        self.frames = np.array([example.frames for example in examples])
        self.padded = bucket_frames(self.frames, config.bucket_s)

    def batch(self, chosen: np.ndarray) -> Batch:
        """The batch of the examples ``chosen`` (B,), padded to the longest one's bucket."""
        targets = [self.targets[i] for i in chosen]
        return {
            "text": pad_sequence(targets, batch_first=True),
            "text_lengths": torch.tensor([len(target) for target in targets]),
            "utt_ids": [self.examples[i].utt_id for i in chosen],
            **({"language_ids": self.language_ids[chosen]} if self.names_languages else {}),
            **self.arrays(chosen),
        }

    def arrays(self, chosen: np.ndarray) -> Batch:
        """``features`` (B, T, L, D) and ``feature_lengths`` (B,) frames."""
        arrays = self.features.features([self.examples[i].row for i in chosen])
        width = int(self.padded[chosen].max())
        features = torch.zeros(len(chosen), width, *arrays[0].shape[1:], dtype=arrays[0].dtype)
        for place, array in zip(features, arrays, strict=True):  # (T, L, D)
            place[: len(array)] = array
        return {
            "features": features,
            "feature_lengths": torch.from_numpy(self.frames[chosen]),
            "speech_lengths": self.frames[chosen] * HOP_SAMPLES,  # no tensor: for the meters only
        }


class TrainBatches(Dataset):
    """Micro-batches of every step, each epoch in its own order with its own SpecAugment."""

    def __init__(
        self, collator: Collator, num_uniforms: int, seed: int, accum_grad: int = 1
    ) -> None:
        self.collator, self.num_uniforms = collator, num_uniforms
        self.seed, self.accum_grad = seed, accum_grad
        self.epoch, self.batches = -1, self.epoch_batches(0)
        self.per_epoch = len(self.batches)

    def epoch_batches(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch, shuffled twice: who is together, and who comes first."""
        rng = rng_for(self.seed, "asr batches", epoch)
        rows = rng.permutation(len(self.collator.examples))
        batches = fill_batches(rows, self.collator.padded, self.collator.config.batch_s)
        return [batches[i] for i in rng.permutation(len(batches))]

    def micro_batch(self, number: int) -> Batch:
        """Micro-batch ``number`` of the run."""
        epoch, index = divmod(number, self.per_epoch)
        if epoch != self.epoch:
            self.epoch, self.batches = epoch, self.epoch_batches(epoch)
        batch = self.collator.batch(self.batches[index])
        batch["augment_uniforms"] = self.uniforms(batch["utt_ids"], epoch)
        return batch

    def uniforms(self, utt_ids: list[str], epoch: int) -> Tensor:
        """(B, K) random numbers for SpecAugment."""
        draws = [rng_for(self.seed, "specaug", epoch, u).random(self.num_uniforms) for u in utt_ids]
        return torch.from_numpy(np.stack(draws)).float()

    def __getitem__(self, step: int) -> list[Batch]:
        first = step * self.accum_grad
        return [self.micro_batch(first + i) for i in range(self.accum_grad)]

    def batch(self, step: int) -> list[Batch]:
        """The micro-batches of a step."""
        return self[step]

    def loader(self, start: int, stop: int, num_workers: int) -> DataLoader:
        """Steps ``start`` to ``stop``, in order."""
        return DataLoader(
            self, batch_size=None, sampler=range(start, stop), collate_fn=as_it_is,
            **loader_workers(num_workers),
        )  # fmt: skip


def as_it_is(batches: list[Batch]) -> list[Batch]:
    """What ``TrainBatches`` made, untouched."""
    return batches


class FixedBatches:
    """Every example once, by length: development, test."""

    def __init__(self, collator: Collator) -> None:
        self.collator = collator
        order = np.argsort(collator.frames, kind="stable")
        self.batches = fill_batches(order, collator.padded, collator.config.batch_s)

    def __len__(self) -> int:
        return len(self.batches)

    def loader(self, start: int, stop: int, num_workers: int = 0) -> Iterator[list[Batch]]:
        """Batches ``start`` to ``stop``, each as the only micro-batch of a step."""
        for chosen in self.batches[start:stop]:
            yield [self.collator.batch(chosen)]
