"""A random permutation of any size that is a formula, not a list.

A Feistel network permutes the ``2**bits`` numbers around ``size``; numbers that fall outside are
sent through again until they land inside (cycle walking). Position ``i`` of the permutation costs
the same for ten rows and for ten billion, and nothing has to be stored to resume.
"""

import numpy as np

from espnet2.utils.seeding import mix_bits, rng_for

ROUNDS = 8  # even, so that halves of unequal width end where they began


class Permutation:
    """A permutation of ``range(size)``, fixed by ``seed`` and ``names``; call it on positions."""

    def __init__(self, size: int, seed: int, *names: str | int):
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self.size = size
        bits = max((size - 1).bit_length(), 2)
        self._right_bits = bits // 2
        self._left_bits = bits - self._right_bits
        self._keys = rng_for(seed, "permutation", *names).integers(
            0, 2**64, ROUNDS, dtype=np.uint64
        )

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """(n,) integers in [0, size) -> (n,) int64, distinct for distinct positions."""
        values = self._encrypt(np.asarray(positions).astype(np.uint64))
        while (outside := values >= self.size).any():
            values[outside] = self._encrypt(values[outside])
        return values.astype(np.int64)

    def _encrypt(self, values: np.ndarray) -> np.ndarray:
        """One pass of the network over (n,) uint64 below ``2**bits``."""
        left_bits, right_bits = self._left_bits, self._right_bits
        left, right = values >> np.uint64(right_bits), values & _ones(right_bits)
        for key in self._keys:
            left, right = right, left ^ (mix_bits(right ^ key) & _ones(left_bits))
            left_bits, right_bits = right_bits, left_bits
        return (left << np.uint64(right_bits)) | right


class LocalPermutation:
    """A permutation of ``range(size)`` in which runs of ``run`` consecutive numbers stay together.

    The numbers lie in a ring that begins at a random place and is cut into runs; whole runs come
    in random order, and the ``size % run`` numbers that make no whole run come last.
    """

    def __init__(self, size: int, run: int, seed: int, *names: str | int):
        if min(size, run) < 1:
            raise ValueError(f"size and run must be at least 1, got {size} and {run}")
        self.size, self.run = size, run
        self._begin = int(rng_for(seed, "ring", *names).integers(size))
        self._num_whole = size // run
        self._runs = Permutation(max(self._num_whole, 1), seed, *names)

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """(n,) integers in [0, size) -> (n,) int64, distinct for distinct positions."""
        runs, offsets = np.divmod(np.asarray(positions).astype(np.int64), self.run)
        is_whole = runs < self._num_whole
        runs[is_whole] = self._runs(runs[is_whole])
        return (self._begin + runs * self.run + offsets) % self.size


def _ones(bits: int) -> np.uint64:
    return np.uint64((1 << bits) - 1)
