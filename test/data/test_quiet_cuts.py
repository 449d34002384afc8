"""Long recordings cut where they are quiet."""

import numpy as np
import pytest

from espnet2.data.quiet_cuts import quiet_cuts


def noise_with_pauses(seconds, pauses, pause_s=0.4):
    rng = np.random.default_rng(0)
    audio = rng.normal(0, 0.1, int(seconds * 16000)).astype(np.float32)
    for at in pauses:
        audio[int(at * 16000) : int((at + pause_s) * 16000)] *= 0.001
    return audio


@pytest.mark.parametrize("seconds", [0.03, 1.0, 7.0, 7.013, 60.0, 59.9999])
@pytest.mark.parametrize("max_s", [1.0, 5.0, 7.0])
def test_the_parts_are_the_recording_and_none_is_too_long(seconds, max_s):
    audio = noise_with_pauses(seconds, [])
    parts = quiet_cuts(audio, max_s)
    assert np.array_equal(np.concatenate([audio[a:b] for a, b in parts]), audio)
    assert max(stop - start for start, stop in parts) <= max_s * 16000
    assert (len(parts) == 1) == (len(audio) <= max_s * 16000)


def test_cuts_lie_in_the_pauses():
    pauses = [3.0, 6.5, 9.2]
    parts = quiet_cuts(noise_with_pauses(13.0, pauses), 4.5)
    edges = [stop / 16000 for _, stop in parts[:-1]]
    assert len(edges) == 3
    for edge, pause in zip(edges, pauses, strict=True):
        assert pause <= edge <= pause + 0.4
