"""A synthetic index of any size, written a chunk at a time from whole columns.

Lengths are log-normal between 0.5 and 40 s; 1,200 utterances a shard, some five hours; 41 corpora
and 4,057 languages in the proportions of a power law, as in XEUS's data. There is no audio.
"""

import contextlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.index.writer import IndexWriter
from espnet2.utils.seeding import rng_for

CHUNK = 2**18  # rows made at once
ROWS_OF_A_SHARD = 1200
CORPORA, LANGUAGES = 41, 4057
MEDIAN_S, SIGMA = 12.0, 0.65  # of the log-normal lengths; their mean is 14 s
SHORTEST_S, LONGEST_S = 0.5, 40.0
FLAC_BYTES_A_SAMPLE = 1.05  # of speech, roughly
LETTERS = 26


class SyntheticIndex:
    """Writes ``rows`` rows to ``path`` as asked; ``close`` when all are written."""

    def __init__(self, path: Path, rows: int, seed: int):
        self.rows, self.seed, self.done = rows, seed, 0
        shards = -(-rows // ROWS_OF_A_SHARD)
        rng = rng_for(seed, "shards")
        # A shard is of one corpus and one language; the first ones have the most.
        self.corpus = zipf(CORPORA, shards, rng)
        self.language = zipf(LANGUAGES, shards, rng)
        names = {
            "shard": [f"corpus{self.corpus[n]:02d}/shards/{n:06d}.ark" for n in range(shards)],
            "corpus": [f"corpus{n:02d}" for n in range(CORPORA)],
            "language": [language_code(n) for n in range(LANGUAGES)],
        }
        self._stack = contextlib.ExitStack()
        self._writer = self._stack.enter_context(IndexWriter(path, names))
        self._offset = 0  # bytes of the last shard so far

    def write(self, count: int) -> int:
        """Write the next ``count`` rows, or what is left; returns how many there are now."""
        stop = min(self.done + count, self.rows)
        while self.done < stop:
            self._writer.write(self.columns(self.done, min(CHUNK, stop - self.done)))
            self.done += min(CHUNK, stop - self.done)
        return self.done

    def close(self) -> None:
        """Finish the files."""
        self._stack.close()

    def columns(self, first: int, count: int) -> dict[str, np.ndarray | pa.Array]:
        """``count`` rows from row ``first`` on, with the columns that an index is written from."""
        rng = rng_for(self.seed, "rows", first)
        row = np.arange(first, first + count)
        shard = row // ROWS_OF_A_SHARD
        seconds = np.exp(rng.normal(np.log(MEDIAN_S), SIGMA, count)).clip(SHORTEST_S, LONGEST_S)
        num_samples = (seconds * SAMPLE_RATE_HZ).astype(np.int32)
        nbytes = (num_samples * FLAC_BYTES_A_SAMPLE).astype(np.int32)
        return {
            "utt_id": numbered("yodas-video", row, digits=12),
            "recording": numbered("video", row // 20, digits=11),
            "speaker": numbered("speaker", row // 200, digits=9),
            "shard": shard.astype(np.int32),
            "language": self.language[shard],
            "corpus": self.corpus[shard],
            "offset": self._offsets(shard, nbytes),
            "nbytes": nbytes,
            "num_samples": num_samples,
            "content_hash": rng.integers(2**63, size=count, dtype=np.uint64),
        }

    def _offsets(self, shard: np.ndarray, nbytes: np.ndarray) -> np.ndarray:
        """(rows,) first bytes: every shard begins anew, the first one goes on."""
        before = np.cumsum(nbytes, dtype=np.int64) - nbytes
        is_first = np.diff(shard, prepend=shard[0]) > 0
        base = np.maximum.accumulate(np.where(is_first, before, 0))
        goes_on = self._offset if shard[0] * ROWS_OF_A_SHARD < self.done else 0
        offsets = before - base + np.where(shard == shard[0], goes_on, 0)
        self._offset = int(offsets[-1] + nbytes[-1])
        return offsets


def zipf(kinds: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count,) int32 below ``kinds``; number n with a weight of 1 / (n + 1)."""
    weight = 1 / np.arange(1, kinds + 1)
    return rng.choice(kinds, size=count, p=weight / weight.sum()).astype(np.int32)


def language_code(number: int) -> str:
    """A code of three letters."""
    letters = (number // LETTERS**2, number // LETTERS % LETTERS, number % LETTERS)
    return "".join(chr(ord("a") + letter) for letter in letters)


def numbered(prefix: str, numbers: np.ndarray, digits: int) -> pa.LargeStringArray:
    """``prefix`` with each number in ``digits`` digits, made without a Python object a row."""
    start, width = len(prefix), len(prefix) + digits
    text = np.empty((len(numbers), width), np.uint8)
    text[:, :start] = np.frombuffer(prefix.encode("ascii"), np.uint8)
    for digit in range(digits):
        text[:, width - 1 - digit] = ord("0") + numbers // 10**digit % 10
    ends = np.arange(len(numbers) + 1, dtype=np.int64) * width
    return pa.LargeStringArray.from_buffers(len(numbers), pa.py_buffer(ends), pa.py_buffer(text))
