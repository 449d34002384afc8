"""Cutting recordings at pauses: a synthetic voice, and real speech where the mini recipe ran."""

from pathlib import Path

import numpy as np
import pytest
from toy_voice import recording, silence, voice

from espnet2.data.audio import level_dbfs, load_pcm, to_int16
from espnet2.data.config import FormatConfig, VadConfig
from espnet2.data.format.vad import agreed, find_speech, merge_close
from espnet2.utils.config import from_dict
from espnet2.utils.errors import ConfigError

SPOKEN = Path(__file__).parents[2] / "egs2/mini/ssl1/dump/tuxpaint/wav.scp"


def check(spans, samples, config):
    """What holds for any recording."""
    flat = [edge for span in spans for edge in span]
    assert flat == sorted(flat)
    assert all(start < stop for start, stop in spans)
    assert not spans or (spans[0][0] >= 0 and spans[-1][1] <= len(samples))
    assert all(stop - start <= config.max_s * 16000 for start, stop in spans)
    assert all(edge % 16 == 0 or edge == len(samples) for edge in flat)  # whole milliseconds


def test_voice_between_pauses_is_found_with_its_padding():
    samples = recording(-2, 3, -2, 2, -1.5)
    spans = find_speech(samples, VadConfig())
    check(spans, samples, VadConfig())
    assert len(spans) == 2
    for (start, stop), (begin, end) in zip(spans, [(2.0, 5.0), (7.0, 9.0)], strict=True):
        assert begin - 0.35 <= start / 16000 <= begin + 0.05
        assert end - 0.05 <= stop / 16000 <= end + 0.65  # the detector hears on for a while


def test_silence_noise_floor_and_next_to_nothing_hold_no_speech():
    hiss = to_int16(np.random.default_rng(0).normal(0, 0.0005, 80000))
    for samples in (silence(5), hiss, silence(0), silence(0.01), voice(0.02)):
        assert find_speech(samples, VadConfig()) == []


def test_speech_that_does_not_end_goes_on_to_the_last_sample():
    samples = recording(-1, 2)[:-7]
    ((start, stop),) = find_speech(samples, VadConfig())
    assert start / 16000 == pytest.approx(1.0, abs=0.35)
    assert stop == len(samples)


def test_a_short_pause_is_bridged_unless_that_would_be_too_long():
    samples = recording(-1, 4, -1.2, 4, -1)
    apart = find_speech(samples, VadConfig(merge_gap_s=0.0))
    assert len(apart) == 2
    assert find_speech(samples, VadConfig(merge_gap_s=1.2)) == [(apart[0][0], apart[1][1])]
    assert find_speech(samples, VadConfig(merge_gap_s=1.2, max_s=8.0)) == apart


def test_short_stretches_are_left_out():
    samples = recording(-1, 0.4, -2, 3, -1)
    assert len(find_speech(samples, VadConfig(min_s=0.0))) == 2
    ((start, stop),) = find_speech(samples, VadConfig(min_s=2.0))
    assert (stop - start) / 16000 > 3


def test_a_long_stretch_is_cut_at_its_quietest_place_and_nothing_of_it_is_lost():
    samples = voice(50.0)
    quiet = round(19.2 * 16000)
    samples[quiet : quiet + 4800] //= 16  # 300 ms much softer, yet no pause for the detector
    whole = find_speech(samples, VadConfig(max_s=60.0))
    assert len(whole) == 1
    spans = find_speech(samples, VadConfig())
    check(spans, samples, VadConfig())
    assert [whole[0][0], whole[0][1]] == [spans[0][0], spans[-1][1]]
    assert len(spans) == 2
    assert spans[0][1] == spans[1][0]
    assert quiet <= spans[0][1] <= quiet + 4800


@pytest.mark.parametrize("frame_ms", [10, 20, 30])
@pytest.mark.parametrize("max_s", [4.0, 7.3, 40.0])
def test_any_mixture_of_voice_and_pauses_keeps_the_rules_and_all_long_speech(frame_ms, max_s):
    rng = np.random.default_rng([frame_ms, int(max_s)])
    parts = [s for _ in range(6) for s in (-rng.uniform(0.1, 2.5), rng.uniform(0.1, 12.0))]
    samples = recording(*parts, -rng.uniform(0.01, 1))
    config = VadConfig(frame_ms=frame_ms, max_s=max_s)
    spans = find_speech(samples, config)
    check(spans, samples, config)
    uncut = find_speech(samples, VadConfig(frame_ms=frame_ms, max_s=400.0, merge_gap_s=0.0))
    inside = np.zeros(len(samples), bool)
    for start, stop in spans:
        inside[start:stop] = True
    assert all(inside[start:stop].all() for start, stop in uncut)
    assert find_speech(samples, config) == spans


def test_a_window_begins_and_ends_a_stretch_only_when_more_than_its_share_agrees():
    def frames(text):
        return [letter == "v" for letter in text]

    nine_of_ten = frames("vvvvvvvvv.") * 3
    assert agreed(nine_of_ten, window=10, trigger=0.9, count=30) == []
    assert agreed(nine_of_ten, window=10, trigger=0.8, count=30) == [(0, 30)]
    text = "....vvvvv.....vvvv" + "."
    assert agreed(frames(text), window=4, trigger=0.9, count=19) == [(4, 13), (14, 19)]
    assert merge_close([(4, 13), (14, 19)], gap=1, longest=15) == [(4, 19)]
    assert merge_close([(4, 13), (14, 19)], gap=1, longest=14) == [(4, 13), (14, 19)]


@pytest.mark.skipif(not SPOKEN.is_file(), reason="the mini recipe has not run")
def test_real_sentences_between_silences_are_found_nearly_whole():
    lines = SPOKEN.read_text().splitlines()[:80]
    rng, parts, speech = np.random.default_rng(0), [], []
    for line in lines:
        clip = load_pcm(line.split(" ", 1)[1]).samples
        parts += [silence(rng.uniform(1.0, 3.0)), clip]
        speech += [np.zeros(len(parts[-2]), bool), np.ones(len(clip), bool)]
    samples, is_clip = np.concatenate(parts), np.concatenate(speech)
    spans = find_speech(samples, VadConfig())
    check(spans, samples, VadConfig())
    found = np.zeros(len(samples), bool)
    for start, stop in spans:
        found[start:stop] = True
    frames = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    loud = np.repeat(np.abs(frames).max(1) > 1000, 320) & is_clip[: frames.size]
    assert (found[: len(loud)] & loud).sum() / loud.sum() > 0.97
    assert found[~is_clip].mean() < 0.5
    assert level_dbfs(samples[found]) > level_dbfs(samples[~found]) + 10


@pytest.mark.parametrize(("settings", "message"), [
    ({"vad": {"mode": 4}}, "format.vad.mode must be 0, 1, 2 or 3, got 4"),
    ({"vad": {"frame_ms": 25}}, "format.vad.frame_ms must be 10, 20 or 30, got 25"),
    ({"vad": {"padding_ms": 20}}, r"padding_ms must be at least frame_ms \(30\), got 20"),
    ({"vad": {"trigger": 1.0}}, "trigger must be at least 0.5 and under 1, got 1.0"),
    ({"vad": {"max_s": 3.0}}, "max_s at least 1 and four times min_s, got 1.0 and 3.0"),
    ({"vad": {"max_s": 60.0}, "vad_corpora": ["x"]}, "is longer than format.max_s"),
    ({"vad": {"modus": 1}}, "modus is not a known key; did you mean 'mode'?"),
])  # fmt: skip
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        from_dict(FormatConfig, settings, "format")
