"""A random generator of its own for each purpose, so no draw depends on order or on workers."""

import hashlib
import json

import numpy as np


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
