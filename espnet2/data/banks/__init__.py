"""Banks: many short signals (noises, impulse responses) in one memory-mapped file.

``bank.f32`` is flat little-endian float32 at 16 kHz; ``bank.json`` holds length and direct-path
delay of each clip, clips of each kind, and the SHA-256 of ``bank.f32``. Every process of a machine
shares the same pages.
"""

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet2.data.augment import direct_path
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.utils.errors import DataError
from espnet2.utils.files import atomic_path, read_json, sha256_file, write_text


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One signal on its way into a bank."""

    samples: np.ndarray  # (n,) at 16 kHz
    kind: str  # where it came from; counted in bank.json


class Bank:
    """A memory-mapped bank: ``bank[i]`` is clip ``i``, read-only. Picklable."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        if not (self.folder / "bank.json").is_file():
            raise DataError(f"{self.folder}: holds no bank.json; run stage 6 (augment) first")
        info = read_json(self.folder / "bank.json")
        if info["sample_rate_hz"] != SAMPLE_RATE_HZ:
            raise DataError(
                f"{self.folder}: sampled at {info['sample_rate_hz']} Hz, not {SAMPLE_RATE_HZ}"
            )
        self.lengths = np.array(info["lengths"], np.int64)  # (clips,) samples
        self.delays = np.array(info["delays"], np.int64)  # (clips,) direct path, argmax |h|
        self.kinds: dict[str, int] = info["kinds"]  # clips of each kind
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)])
        path = self.folder / "bank.f32"
        if not path.is_file() or path.stat().st_size != 4 * self._starts[-1]:
            raise DataError(f"{path}: missing or cut short; run stage 6 (augment) again")
        self._samples = np.memmap(path, "<f4", "r") if self._starts[-1] else np.zeros(0, "<f4")

    @classmethod
    def open(cls, folder: Path | str) -> "Bank":
        """The bank in ``folder``. Raises DataError if there is none or it is damaged."""
        return cls(Path(folder))

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: int) -> np.ndarray:
        """(n,) float32, a view of the file."""
        return np.asarray(self._samples[self._starts[i] : self._starts[i + 1]])

    @property
    def fingerprint(self) -> str:
        """Digest of the bank: equal banks hold equal clips."""
        return sha256_file(self.folder / "bank.json")

    def __reduce__(self):
        return Bank, (self.folder,)


def write_bank(folder: Path, clips: Iterable[Clip]) -> int:
    """Write a bank, streaming; returns the number of clips. Empty clips are a defect."""
    lengths, delays = array("q"), array("q")  # 8 bytes a clip
    kinds: Counter[str] = Counter()
    digest = hashlib.sha256()  # of a file too large to be read again
    with atomic_path(folder / "bank.f32") as part, part.open("wb") as file:
        for clip in clips:
            assert len(clip.samples), f"an empty {clip.kind} clip"
            data = np.ascontiguousarray(clip.samples, "<f4").tobytes()
            file.write(data)
            digest.update(data)
            lengths.append(len(clip.samples))
            delays.append(direct_path(clip.samples))
            kinds[clip.kind] += 1
    about = {
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "kinds": kinds,
        "sha256": digest.hexdigest(),
        "lengths": lengths.tolist(),
        "delays": delays.tolist(),
    }
    write_text(folder / "bank.json", json.dumps(about) + "\n")  # one line: a number is no line
    return len(lengths)
