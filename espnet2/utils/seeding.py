"""A random generator of its own for each purpose, so no draw depends on order or on workers."""

import hashlib
import json

import numpy as np

_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)  # SplitMix64
_STEP = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64's; odd, so that it meets every number once


def seed_for(seed: int, *names: str | int) -> int:
    """A 63-bit seed derived from ``seed`` and names, for ``torch.manual_seed`` and C libraries."""
    digest = hashlib.sha256(json.dumps([int(seed), *map(plain, names)]).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def rng_for(seed: int, *names: str | int) -> np.random.Generator:
    """A generator for one purpose: ``rng_for(seed, "crop", epoch, utt_id)``."""
    return np.random.default_rng(seed_for(seed, *names))


def plain(name: str | int) -> str | int:
    """numpy integers seed like Python's; anything but text and integers is a mistake."""
    return name if isinstance(name, str) else int(name)


def numbers_for(rows: np.ndarray, keys: np.ndarray | np.uint64) -> np.ndarray:
    """A random number for each row that is a formula, not a list: (n,) uint64.

    Number ``row`` of the SplitMix64 generator that starts from its key; ``keys`` is one for all, or
    (n,) uint64. Rows of one key have distinct numbers.
    """
    return mix_bits(keys + (rows.astype(np.uint64) + np.uint64(1)) * _STEP)


def mix_bits(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser of (n,) uint64: every input bit changes every output bit."""
    values = (values ^ (values >> np.uint64(30))) * _MIX_1
    values = (values ^ (values >> np.uint64(27))) * _MIX_2
    return values ^ (values >> np.uint64(31))
