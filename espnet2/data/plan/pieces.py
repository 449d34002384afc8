"""Pieces of a packed set: utterances laid end to end on the frame grid and cut to one length.

Frames ``[start, stop)`` of an utterance bring samples ``[320 start, 320 stop)``; the last part of a
piece brings 80 samples more, so that a piece of F frames holds ``320 (F - 1) + 400`` samples.
``packing`` lays the utterances; here a piece's number becomes its parts.
"""

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet2.data.file_array import FileArray
from espnet2.data.frames import num_frames


@dataclass(frozen=True, kw_only=True)
class Part:
    """Frames ``[start, stop)`` of an utterance."""

    row: int  # of the index
    start: int  # frame
    stop: int  # frame


class Stream:
    """Utterances end to end, cut into pieces of ``frames`` frames. Picklable, read by position.

    rows: (entries,) uint32 rows of the index in the stream's order. starts: (entries + 1,) uint64
    ascending first frames of the entries in the stream, then the stream's length.
    """

    def __init__(self, rows: FileArray | np.ndarray, starts: FileArray | np.ndarray, frames: int):
        self.rows, self.starts, self.frames = rows, starts, frames

    @classmethod
    def open(cls, folder: Path, num_samples: int) -> "Stream":
        """The stream of a plan's folder, in pieces of ``num_samples`` samples."""
        rows, starts = (FileArray.open_npy(folder / f"{name}.npy") for name in ("rows", "starts"))
        return cls(rows, starts, num_frames(num_samples))

    @property
    def count(self) -> int:
        """Whole pieces in the stream."""
        return int(self.starts[-1]) // self.frames

    def parts(self, piece: int) -> list[Part]:
        """What piece number ``piece`` is made of, in order."""
        begin, end = piece * self.frames, (piece + 1) * self.frames
        first = bisect_right(self.starts, begin) - 1
        # Every entry has a frame, so this many starts reach the piece's end.
        edges = self.starts[first : first + self.frames + 1].astype(np.int64)
        last = int(np.searchsorted(edges, end))
        cut = np.clip(edges, begin, end)
        return [
            Part(row=int(row), start=int(cut[i] - edges[i]), stop=int(cut[i + 1] - edges[i]))
            for i, row in enumerate(self.rows[first : first + last])
        ]


def pieces_of_entries(starts: np.ndarray, stops: np.ndarray, frames: int, count: int) -> np.ndarray:
    """(entries,) how many of a stream's ``count`` whole pieces hold a part of each entry.

    starts, stops: (entries,) int64 first frame in the stream, and the frame after the last.
    """
    begin, end = starts // frames, -(-stops // frames)
    return np.maximum(np.minimum(end, count) - begin, 0)
