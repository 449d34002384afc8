"""A synthetic voice that WebRTC's detector takes for speech."""

import numpy as np

from espnet2.data.audio import to_int16


def voice(seconds, pitch_hz=120.0, level=0.35):
    """(samples,) int16: harmonics with the resonances of a vowel, four syllables a second."""
    time = np.arange(round(seconds * 16000)) / 16000
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.1 * np.sin(4.4 * time))) / 16000
    audio = np.zeros(len(time))
    for harmonic in range(1, int(4000 / pitch_hz)):
        hz = harmonic * pitch_hz
        weight = sum(
            gain / (1 + ((hz - centre) / width) ** 2)
            for centre, width, gain in ((600, 100, 1.0), (1300, 120, 0.5), (2500, 200, 0.3))
        )
        audio += weight * np.sin(harmonic * phase)
    audio *= 0.6 + 0.4 * np.sin(8 * np.pi * time)
    return to_int16(level * audio / np.abs(audio).max())


def silence(seconds):
    return np.zeros(round(seconds * 16000), np.int16)


def recording(*parts):
    """Voice for a positive number of seconds, silence for a negative one."""
    return np.concatenate([voice(s) if s > 0 else silence(-s) for s in parts])
