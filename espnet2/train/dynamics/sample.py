"""The fixed part of the validation set on which every checkpoint is measured.

It is written as an index of its own, ``OUT/sample``, with the training labels beside it: what
checkpoints predict becomes label sets of that index, which ``tokens.quality`` measures.

Shapes: B utterances, S samples, T frames of the longest, N frames in all.
"""

import dataclasses
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from espnet2.data.frames import SAMPLE_RATE_HZ, num_frames
from espnet2.data.index import Index, table_of, write_index
from espnet2.data.labels import LabelStore, labels_file, write_info, write_labels
from espnet2.ssl.extract import padded_groups
from espnet2.ssl.masking import Masker
from espnet2.utils.errors import DataError
from espnet2.utils.files import sha256_text
from espnet2.utils.logs import log
from espnet2.utils.read_ahead import read_ahead
from espnet2.utils.seeding import rng_for

SHARD = "sample"  # all label sets of the sample are one file each
LONGEST_S = 40.0  # what training crops to; attention on more could need more memory than it did
BATCH_S = 80.0  # padded seconds in one forward pass


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
    """Utterances of like length, the shorter ones padded."""

    speech: Tensor  # (B, S)
    samples: Tensor  # (B,)
    labels: Tensor  # (B, T) int64, 0 on padding
    frames: Tensor  # (B,)
    is_real: Tensor  # (B, T) bool, False on padding
    uniforms: Tensor  # (B, 2 T + 1 + extra) for the masker; an utterance's do not depend on T


class Sample:
    """Some utterances of a set, with their labels; audio is read from the set's own shards."""

    def __init__(self, source: Index, rows: np.ndarray, teacher: LabelStore, seed: int) -> None:
        """``rows``: of ``source``, in the order of ``teacher.index``."""
        self.source, self.rows, self.teacher, self.seed = source, rows, teacher, seed
        self.index = teacher.index

    @cached_property
    def frames(self) -> int:
        """N."""
        return int(self.index.frames_of(slice(0, len(self.index))).sum())

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything here that decides a figure."""
        labels = labels_file(self.teacher.folder, SHARD).read_bytes().hex()
        return sha256_text(json.dumps([self.index.fingerprint, labels, self.seed]))

    @cached_property
    def groups(self) -> list[np.ndarray]:
        """Rows of the batches, longest first: what does not fit into memory fails at once."""
        samples = np.array(self.index.num_samples[slice(0, len(self.index))])
        return padded_groups(samples, BATCH_S)[::-1]

    @cached_property
    def places(self) -> np.ndarray:
        """(N,) place in the label files of each frame in the order of the batches."""
        rows = np.concatenate(self.groups)
        starts, frames = self.index.label_starts[rows], self.index.frames_of(rows)
        firsts = np.repeat(starts - (np.cumsum(frames) - frames), frames)
        return firsts + np.arange(self.frames)

    def batches(self, masker: Masker) -> Iterator[Batch]:
        """Every utterance once; the same batches and random numbers at every call."""
        for rows, waves in zip(self.groups, read_ahead(self.groups, self.audio), strict=True):
            yield self.batch(rows, waves, masker.extra_uniforms)

    def audio(self, row: int) -> np.ndarray:
        """(samples,) float32 of a row of the sample."""
        return self.source.audio(int(self.rows[row]))

    def batch(self, rows: np.ndarray, waves: list[np.ndarray], extra: int) -> Batch:
        """The rows and their audio as tensors."""
        ids = [torch.from_numpy(self.teacher.labels(row).astype(np.int64)) for row in rows]
        frames = torch.tensor([len(own) for own in ids])
        longest = int(frames.max())
        return Batch(
            speech=pad_sequence([torch.from_numpy(wave) for wave in waves], batch_first=True),
            samples=torch.tensor([len(wave) for wave in waves]),
            labels=pad_sequence(ids, batch_first=True),
            frames=frames,
            is_real=torch.arange(longest) < frames[:, None],
            uniforms=torch.from_numpy(
                np.stack([self.uniforms(row, longest, extra) for row in rows])
            ),
        )

    def uniforms(self, row: int, longest: int, extra: int) -> np.ndarray:
        """(2 ``longest`` + 1 + ``extra``,): the numbers of one utterance, spread for padding.

        ``ssl.spans`` reads one to round, then T to order the frames, then T for lengths.
        """
        frames = num_frames(int(self.index.num_samples[row]))
        rng = rng_for(self.seed, "mask", self.index.utt_ids[row])
        own = rng.random(2 * frames + 1 + extra, dtype=np.float32)
        spread = np.zeros(2 * longest + 1 + extra, dtype=np.float32)
        spread[: frames + 1] = own[: frames + 1]
        spread[longest + 1 : longest + 1 + frames] = own[frames + 1 : 2 * frames + 1]
        spread[2 * longest + 1 :] = own[2 * frames + 1 :]
        return spread


def draw_sample(
    valid: Path, tag: str, folder: Path, seed: int, hours: float, utterances: int | None
) -> Sample:
    """Draw the sample of the set ``valid`` and write it to ``folder``.

    ``hours`` of it, or this many ``utterances``; the same ones at every call.

    Raises:
        DataError: no set, no labels ``tag``, labels of another index, no usable utterance.
    """
    source = Index.open(valid)
    labels = LabelStore.open(source, valid / "labels" / tag)
    rows = drawn_rows(source, seed, hours, utterances)
    chosen = [dataclasses.replace(source.utterance(int(row)), shard=SHARD) for row in rows]
    write_index(folder / "index.arrow", table_of(chosen))
    index = Index.open(folder)
    info = dataclasses.replace(labels.info, index_sha256=index.fingerprint)
    own = folder / "labels" / "teacher"
    write_labels(labels_file(own, SHARD), np.concatenate([labels.labels(int(r)) for r in rows]))
    write_info(own, info)
    return Sample(source, rows, LabelStore.open(index, own), seed)


def drawn_rows(index: Index, seed: int, hours: float, utterances: int | None) -> np.ndarray:
    """(n,) rows, ascending: utterances in a random order until there is enough of them."""
    samples = np.array(index.num_samples[slice(0, len(index))], dtype=np.int64)
    is_usable = (num_frames(samples) > 0) & (samples <= LONGEST_S * SAMPLE_RATE_HZ)
    if left := int((~is_usable).sum()):
        log(f"{index.path}: {left} of {len(index)} utterances are longer than {LONGEST_S:g} s or "
            "shorter than a frame; the others are drawn from")  # fmt: skip
    rows = rng_for(seed, "dynamics").permutation(np.flatnonzero(is_usable))
    if not len(rows):
        raise DataError(
            f"{index.path}: holds no utterance of up to {LONGEST_S:g} s to measure on; "
            "combine.valid_ratio of the recipe (stage 3) holds some out"
        )
    if utterances is None:
        seconds = np.cumsum(samples[rows]) / SAMPLE_RATE_HZ
        utterances = 1 + int(np.searchsorted(seconds, hours * 3600))
    return np.sort(rows[:utterances])
