"""Long recordings cut at pauses, with the voice activity detector of WebRTC (py-webrtcvad).

Steps: judge every frame; speech begins and ends where a window of frames agrees; stretches with a
short pause between them become one; what is still very short is left out; stretches that are too
long are cut at their quietest places. All of it on the grid of the detector's frames.
"""

import numpy as np
import webrtcvad

from espnet2.data.config import VadConfig
from espnet2.data.frames import SAMPLE_RATE_HZ

Stretch = tuple[int, int]  # first frame (or sample), and the one after the last

QUIET_S = 0.3  # a cut is where so much audio around it has the least energy


def find_speech(samples: np.ndarray, config: VadConfig) -> list[Stretch]:
    """Where there is speech in (num_samples,) int16 at 16 kHz.

    Returns (start, stop) in samples: in order, without overlap, inside the recording, none over
    ``max_s`` long.
    """
    size = SAMPLE_RATE_HZ * config.frame_ms // 1000  # samples of a frame
    count = -(-len(samples) // size)  # the last frame may be shorter
    longest = int(config.max_s * SAMPLE_RATE_HZ / size)  # frames
    is_voiced = judge_frames(samples, config.mode, size)
    found = agreed(is_voiced, config.padding_ms // config.frame_ms, config.trigger, count)
    found = merge_close(found, config.merge_gap_s * SAMPLE_RATE_HZ / size, longest)
    shortest = config.min_s * SAMPLE_RATE_HZ
    found = [(a, b) for a, b in found if min(b * size, len(samples)) - a * size >= shortest]
    if any(stop - start > longest for start, stop in found):
        energy = frame_energy(samples, size)
        around = round(QUIET_S * SAMPLE_RATE_HZ / size / 2)
        found = [part for stretch in found for part in cut(stretch, energy, around, longest)]
    return [(start * size, min(stop * size, len(samples))) for start, stop in found]


def judge_frames(samples: np.ndarray, mode: int, size: int) -> list[bool]:
    """What the detector says of each whole frame of ``size`` samples."""
    detector = webrtcvad.Vad(mode)
    pcm = memoryview(np.ascontiguousarray(samples, dtype=np.int16)).cast("B")
    step = 2 * size  # bytes
    return [
        detector.is_speech(pcm[i : i + step], SAMPLE_RATE_HZ)
        for i in range(0, len(pcm) - step + 1, step)
    ]


def agreed(is_voiced: list[bool], window: int, trigger: float, count: int) -> list[Stretch]:
    """Stretches of frames: more than ``trigger`` of a window's frames begin and end one.

    A window counts from the last change on, and belongs to the stretch that it begins or ends.
    Speech that is not ended goes on to frame ``count``, the end of the recording.
    """
    stretches, start, changed, others = [], None, 0, 0
    for i, voiced in enumerate(is_voiced):
        in_speech = start is not None
        # ``others`` counts the frames of the window that speak against the present state.
        others += voiced != in_speech
        if i - window >= changed:
            others -= is_voiced[i - window] != in_speech
        if others > trigger * window:
            if in_speech:
                stretches.append((start, i + 1))
            start = None if in_speech else max(i + 1 - window, changed)
            changed, others = i + 1, 0
    if start is not None:
        stretches.append((start, count))
    return stretches


def merge_close(stretches: list[Stretch], gap: float, longest: int) -> list[Stretch]:
    """Stretches at most ``gap`` frames apart as one, unless that is over ``longest`` frames."""
    merged: list[Stretch] = []
    for start, stop in stretches:
        if merged and start - merged[-1][1] <= gap and stop - merged[-1][0] <= longest:
            merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    return merged


def frame_energy(samples: np.ndarray, size: int) -> np.ndarray:
    """(frames + 1,) int64: the energy of all samples before each frame, and of all."""
    whole = samples[: len(samples) // size * size].reshape(-1, size)
    energy = np.einsum("ts,ts->t", whole, whole, dtype=np.int64)  # exact: 2**63 is 20 days
    rest = samples[whole.size :].astype(np.int64)
    parts = [[0], energy, [rest @ rest] if len(rest) else []]
    return np.cumsum(np.concatenate(parts), dtype=np.int64)


def cut(stretch: Stretch, energy: np.ndarray, around: int, longest: int) -> list[Stretch]:
    """The stretch in parts of at most ``longest`` frames, cut where it is quietest.

    Quietest is the least energy from ``around`` frames before to as many after; of equal places,
    the one nearest to the middle. A cut leaves a quarter of the stretch or more on both sides.
    energy: (frames + 1,) int64, sums of squares up to each frame.
    """
    start, stop = stretch
    length = stop - start
    if length <= longest:
        return [stretch]
    places = np.arange(start + -(-length // 4), stop - length // 4)
    loudness = energy[places + around] - energy[places - around]
    quietest = places[loudness == loudness.min()]
    place = int(quietest[np.abs(2 * quietest - start - stop).argmin()])
    halves = ((start, place), (place, stop))
    return [part for half in halves for part in cut(half, energy, around, longest)]
