"""What a row of a planned batch stands for: an utterance, or a piece of several (packing).

Both classes turn a row number into clean audio with its labels; everything after that (crop,
noise, rooms, masks) is the same for both.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from espnet2.data.frames import HOP_SAMPLES, RECEPTIVE_SAMPLES
from espnet2.data.index import Index
from espnet2.data.labels import LabelStore
from espnet2.data.plan.pieces import Part, Stream


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Clean audio and its labels."""

    audio: np.ndarray  # (S,) float32
    labels: np.ndarray  # (num_frames(S),) uint16 cluster ids


class Utterances:
    """Rows are rows of the index."""

    def __init__(self, index: Index, labels: LabelStore):
        self.index, self.labels = index, labels

    def clip(self, row: int) -> Clip:
        """The whole utterance."""
        return Clip(audio=self.index.audio(row), labels=self.labels.labels(row))

    def name(self, row: int) -> str:
        """The utterance's id."""
        return self.index.utt_ids[row]

    key = name  # what the random generators of a row are named by


class Pieces:
    """Rows are piece numbers of a stream."""

    def __init__(self, index: Index, labels: LabelStore, stream: Stream):
        self.index, self.labels, self.stream = index, labels, stream
        self._parts = lru_cache(maxsize=256)(stream.parts)  # clip and name both ask for them

    def __reduce__(self):
        return Pieces, (self.index, self.labels, self.stream)

    def clip(self, row: int) -> Clip:
        """The parts of the piece, joined."""
        parts = self._parts(row)
        labels = [self.labels.labels(part.row)[part.start : part.stop] for part in parts]
        audio = [self.part_audio(part, part is parts[-1]) for part in parts]
        return Clip(audio=np.concatenate(audio), labels=np.concatenate(labels))

    def part_audio(self, part: Part, is_last: bool) -> np.ndarray:
        """(samples,) of the part; the last of a piece ends with its last frame's window."""
        stop = part.stop * HOP_SAMPLES
        if is_last:
            stop += RECEPTIVE_SAMPLES - HOP_SAMPLES
        return self.index.audio(part.row)[part.start * HOP_SAMPLES : stop]

    def name(self, row: int) -> str:
        """The ids of the utterances in the piece, with spaces between."""
        return " ".join(self.index.utt_ids[part.row] for part in self._parts(row))

    def key(self, row: int) -> str:
        """What the random generators of a piece are named by."""
        return f"piece {row}"
