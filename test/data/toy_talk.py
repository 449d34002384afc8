"""Something like speech."""

import numpy as np


def talk(number, samples=16000, level=0.1):
    """(samples,) int16: coloured syllables with pauses between them."""
    rng = np.random.default_rng(number)
    syllables = np.sin(2 * np.pi * 3 * np.arange(samples) / 16000 + number) > -0.3
    noise = np.convolve(rng.standard_normal(samples), np.ones(1 + number % 4), "same")
    return (32768 * level * syllables * noise / noise.std()).clip(-32768, 32767).astype(np.int16)
