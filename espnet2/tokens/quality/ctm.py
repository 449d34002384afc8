"""A reference for every frame: the lines of a CTM become a token for each 20 ms of an utterance.

A CTM has a line a segment, ``utterance channel start duration token``, times in seconds; a sixth
field (a confidence) and lines that begin with ``;;`` are passed over. It is sorted by utterance
(``LC_ALL=C sort -k1,1 -k3,3g``), so it is read in step with the index and never held; several files
are read side by side. The channel does not matter: an utterance has one.

Frame t of an utterance has the token of the segment that covers its centre, sample 320 t + 200: the
segment that begins there or before and ends after it. Frames that no segment covers, and frames of
silence, have none.

Shapes: S segments, T frames.
"""

import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from espnet2.data.export_kaldi import rows_in_c_order
from espnet2.data.frames import HOP_SAMPLES, RECEPTIVE_SAMPLES, SAMPLE_RATE_HZ
from espnet2.data.index import Index
from espnet2.utils.errors import DataError

SILENCE = ("sil", "sp", "spn", "nsn", "pau", "<eps>", "<sil>", "sil_b", "sil_e", "sil_i", "sil_s")
UNCOVERED, SILENT = -1, -2  # numbers of frames without a token
COMMENT = b";;"
MAX_OVERLAP = SAMPLE_RATE_HZ // 100  # samples; times of two decimals may overlap by one digit
MAX_PAST_END = SAMPLE_RATE_HZ // 10  # samples; aligners round the last segment up to their frames


class Segment(NamedTuple):
    """One line of a CTM."""

    start: int  # sample
    end: int  # the sample after its last
    token: str
    line: int


@dataclass(frozen=True)
class Aligned:
    """The segments of one utterance, in the order of their starts."""

    utt_id: str
    path: Path
    segments: list[Segment]

    def frame_tokens(self, frames: int, tokens: "Tokens") -> np.ndarray:
        """(frames,) int64: the number of each frame's token, or ``UNCOVERED``, or ``SILENT``."""
        starts = np.array([segment.start for segment in self.segments])  # (S,)
        ends = np.array([segment.end for segment in self.segments])
        codes = np.array([tokens.number(segment.token) for segment in self.segments])
        centres = np.arange(frames) * HOP_SAMPLES + RECEPTIVE_SAMPLES // 2  # (T,)
        places = np.searchsorted(starts, centres, side="right") - 1
        is_covered = (places >= 0) & (centres < ends[places])
        return np.where(is_covered, codes[places], UNCOVERED)

    def check_end(self, num_samples: int, tokens: "Tokens") -> None:
        """Raise DataError if something is said after the utterance: it is of other audio then.

        Silence may be: stage 2 cuts it off where ``format.trim_edges`` is set.
        """
        said = [segment for segment in self.segments if tokens.number(segment.token) != SILENT]
        last = max(said, key=lambda segment: segment.end, default=None)
        if last and last.end > num_samples + MAX_PAST_END:
            raise DataError(
                f"{self.path}:{last.line}: {self.utt_id} ends at {num_samples / SAMPLE_RATE_HZ:.3f}"
                f" s, this segment at {last.end / SAMPLE_RATE_HZ:.3f} s; align the audio of the "
                f"index (bin.export_data writes it), not the recordings before they were cut"
            )


class Tokens:
    """A number for each token, in the order in which they came; ``SILENT`` for silence."""

    def __init__(self, silence: Iterable[str] = SILENCE) -> None:
        self.names: list[str] = []  # by number
        self.silent: list[str] = []  # the tokens of silence that were met
        self._silence = frozenset(map(str.casefold, silence))
        self._numbers: dict[str, int] = {}

    def number(self, token: str) -> int:
        """The number of a token; the next one if it is new."""
        if token not in self._numbers:
            is_silence = token.casefold() in self._silence
            self._numbers[token] = SILENT if is_silence else len(self.names)
            (self.silent if is_silence else self.names).append(token)
        return self._numbers[token]


@dataclass
class Coverage:
    """How much of an index an alignment speaks of."""

    utterances: int = 0  # of the index
    aligned_utterances: int = 0
    first_without: str | None = None  # of the utterances that the alignment lacks
    other_utterances: int = 0  # of the alignment, not in the index
    first_other: str | None = None
    frames: int = 0  # of the index
    frames_without: int = 0  # of utterances that the alignment lacks
    uncovered_frames: int = 0  # of aligned utterances, between segments
    silent_frames: int = 0
    compared_frames: int = 0  # what is left


def aligned_rows(
    index: Index, ctms: list[Path], tokens: Tokens, coverage: Coverage
) -> Iterator[tuple[int, str, Aligned]]:
    """(row, language, segments) of each utterance that is in both, in C order of the ids.

    Counts into ``coverage`` the utterances and frames that are in one of them only.

    Raises:
        DataError: at the first line of a CTM that is wrong, with file and line.
    """
    alignment = merged(ctms)
    head = next(alignment, None)
    for rows in rows_in_c_order(index):
        columns = (index.utt_ids[rows], index.num_samples[rows].tolist(),
                   index.frames_of(rows).tolist(), index.languages[rows])  # fmt: skip
        for row, utt_id, num_samples, frames, language in zip(rows.tolist(), *columns, strict=True):
            while head is not None and head.utt_id < utt_id:
                head = pass_over(head, alignment, coverage)
            coverage.utterances += 1
            coverage.frames += frames
            if head is None or head.utt_id != utt_id:
                coverage.frames_without += frames
                coverage.first_without = coverage.first_without or utt_id
                continue
            head.check_end(num_samples, tokens)
            coverage.aligned_utterances += 1
            yield row, language, head
            head = next(alignment, None)
    while head is not None:
        head = pass_over(head, alignment, coverage)


def pass_over(head: Aligned, alignment: Iterator[Aligned], coverage: Coverage) -> Aligned | None:
    """Count an utterance that the index lacks; returns the next one."""
    coverage.other_utterances += 1
    coverage.first_other = coverage.first_other or head.utt_id
    return next(alignment, None)


def merged(ctms: list[Path]) -> Iterator[Aligned]:
    """The utterances of several sorted CTMs in C order. Raises DataError when two share one."""
    last = None
    for aligned in heapq.merge(*map(read_ctm, ctms), key=lambda aligned: aligned.utt_id):
        if last is not None and last.utt_id == aligned.utt_id:
            raise DataError(
                f"{aligned.path}:{aligned.segments[0].line}: {aligned.utt_id} is in {last.path} too"
            )
        last = aligned
        yield aligned


def read_ctm(path: Path) -> Iterator[Aligned]:
    """The utterances of one CTM. Raises DataError with file and line, OSError if unreadable."""
    utt_id, segments = "", []
    with open(path, "rb") as file:
        for line, raw in enumerate(file, 1):
            fields = raw.split()
            if raw.startswith(COMMENT) or not fields:
                continue
            name, segment = parse_line(fields, f"{path}:{line}", line)
            if name != utt_id:
                if segments:
                    yield Aligned(utt_id, path, segments)
                if name < utt_id:
                    raise DataError(
                        f"{path}:{line}: {name} is out of order after {utt_id}; "
                        "sort with LC_ALL=C sort -k1,1 -k3,3g"
                    )
                utt_id, segments = name, []
            elif segments:
                check_order(segments[-1], segment, f"{path}:{line}: {name}")
            segments.append(segment)
    if segments:
        yield Aligned(utt_id, path, segments)


def parse_line(fields: list[bytes], where: str, line: int) -> tuple[str, Segment]:
    """Utterance and segment of the fields of one line."""
    if len(fields) not in (5, 6):
        raise DataError(
            f"{where}: {len(fields)} fields; a line is 'utterance channel start duration token'"
        )
    try:
        utt_id, token = fields[0].decode("utf-8"), fields[4].decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{where}: not UTF-8; convert with iconv -t UTF-8") from None
    try:
        start, duration = float(fields[2]), float(fields[3])
    except ValueError:
        start = duration = math.nan
    if not (0 <= start < math.inf and 0 <= duration < math.inf):
        times = b" ".join(fields[2:4]).decode("utf-8", "replace")
        raise DataError(
            f"{where}: {utt_id}: start and duration must be seconds from 0, got '{times}'"
        )
    # Whole samples: 0.1 + 0.2 s and 0.3 s are the same place.
    end = round((start + duration) * SAMPLE_RATE_HZ)
    return utt_id, Segment(round(start * SAMPLE_RATE_HZ), end, token, line)


def check_order(before: Segment, segment: Segment, where: str) -> None:
    """Raise DataError unless a segment follows the one before it."""
    if segment.start < before.start or segment.start < before.end - MAX_OVERLAP:
        raise DataError(
            f"{where}: begins at {segment.start / SAMPLE_RATE_HZ:.3f} s, before the end of line "
            f"{before.line} at {before.end / SAMPLE_RATE_HZ:.3f} s; segments may not overlap "
            "and are sorted with LC_ALL=C sort -k1,1 -k3,3g"
        )
