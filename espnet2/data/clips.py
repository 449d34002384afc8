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
from espnet2.utils.errors import DataError


class UnreadableAudio(DataError):
    """The audio of ``utt_id`` cannot be read, for ``reason``."""

    def __init__(self, utt_id: str, reason: str):
        super().__init__(f"{utt_id}: {reason}")
        self.utt_id, self.reason = utt_id, reason


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Clean audio, its labels, and whose frames these are."""

    audio: np.ndarray  # (S,) float32
    labels: np.ndarray  # (num_frames(S),) uint16 cluster ids
    languages: np.ndarray  # (num_frames(S),) int16 codes of index.languages


class Utterances:
    """Rows are rows of the index."""

    def __init__(self, index: Index, labels: LabelStore):
        self.index, self.labels = index, labels

    def clip(self, row: int) -> Clip:
        """The whole utterance. Raises UnreadableAudio."""
        labels = self.labels.labels(row)
        language = self.index.languages.codes[row]
        return Clip(
            audio=audio_of(self.index, row),
            labels=labels,
            languages=np.full(len(labels), language, np.int16),
        )

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
        """The parts of the piece, joined. Raises UnreadableAudio where one has none."""
        parts = self._parts(row)
        labels = [self.labels.labels(part.row)[part.start : part.stop] for part in parts]
        audio = [self.part_audio(part, part is parts[-1]) for part in parts]
        codes = [self.index.languages.codes[part.row] for part in parts]
        return Clip(
            audio=np.concatenate(audio),
            labels=np.concatenate(labels),
            languages=np.repeat(np.array(codes, np.int16), [len(part) for part in labels]),
        )

    def part_audio(self, part: Part, is_last: bool) -> np.ndarray:
        """(samples,) of the part; the last of a piece ends with its last frame's window."""
        stop = part.stop * HOP_SAMPLES
        if is_last:
            stop += RECEPTIVE_SAMPLES - HOP_SAMPLES
        return audio_of(self.index, part.row)[part.start * HOP_SAMPLES : stop]

    def name(self, row: int) -> str:
        """The ids of the utterances in the piece, with spaces between."""
        return " ".join(self.index.utt_ids[part.row] for part in self._parts(row))

    def key(self, row: int) -> str:
        """What the random generators of a piece are named by."""
        return f"piece {row}"


def audio_of(index: Index, row: int) -> np.ndarray:
    """(samples,) audio of a row of the index. Raises UnreadableAudio."""
    try:
        return index.audio(row)
    except DataError as error:
        utt_id = index.utt_ids[row]
        raise UnreadableAudio(utt_id, str(error).removeprefix(f"{utt_id}: ")) from None
