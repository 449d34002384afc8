"""Lists of recordings: what may stand in them, and what is refused."""

import re

import numpy as np
import pytest
import soundfile
import soxr

from espnet2.data.audio import encode_flac, load_audio
from espnet2.data.recordings import listed, plain_files, usable_audio, with_durations
from espnet2.data.shards import write_record
from espnet2.utils.errors import DataError


def write_list(path, text):
    path.write_text(text)
    return path


def tone(seconds, rate_hz=16000):
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate_hz)) / rate_hz)


def test_a_list_of_any_name_becomes_utterances(tmp_path):
    path = write_list(tmp_path / "mine.scp", "a /x/a b.wav\nb /x/b.ark:17\n")
    assert [(u.utt_id, u.source, u.start_s, u.end_s) for u in listed(path)] == [
        ("a", "/x/a b.wav", 0.0, None),
        ("b", "/x/b.ark:17", 0.0, None),
    ]


def test_segments_are_the_utterances_where_they_are_given(tmp_path):
    wav = write_list(tmp_path / "wav.scp", "rec /x/rec.wav\n")
    segments = write_list(tmp_path / "segments", "u1 rec 0.5 1.25\nu2 rec 2 -1\n")
    assert [(u.utt_id, u.source, u.start_s, u.end_s) for u in listed(wav, segments)] == [
        ("u1", "/x/rec.wav", 0.5, 1.25),
        ("u2", "/x/rec.wav", 2.0, None),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a sox x.wav -t wav - |\n", "wav.scp:1: a is a command; only files are read"),
        ("b b.wav\na a.wav\n", "wav.scp:2: a is out of order; sort with LC_ALL=C sort"),
        ("a a.wav\na b.wav\n", "wav.scp:2: a appears twice; first on line 1"),
        ("a\n", "wav.scp:1: a has no value"),
        ("", "wav.scp: no utterances"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_with_its_line(tmp_path, text, problem):
    path = write_list(tmp_path / "wav.scp", text)
    message = re.escape(f"{path} cannot be used:\n  {tmp_path}/{problem}")
    with pytest.raises(DataError, match=message):
        listed(path)


def test_missing_lists_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="wav.scp"):
        listed(tmp_path / "wav.scp")
    wav = write_list(tmp_path / "wav.scp", "rec /x/rec.wav\n")
    with pytest.raises(DataError, match="segs: no such file; --segments names a Kaldi segments"):
        listed(wav, tmp_path / "segs")


def test_plain_files_are_named_by_their_stems_and_two_of_one_name_refused(tmp_path):
    paths = [tmp_path / name for name in ("b.x.wav", "Z.flac", "a.ogg")]
    assert [u.utt_id for u in plain_files(paths)] == ["Z", "a", "b.x"]
    with pytest.raises(DataError, match=r"d/a\.wav and .*/a\.ogg would both be utterance a; ren"):
        plain_files([tmp_path / "d/a.wav", tmp_path / "a.ogg"])


def test_durations_come_from_headers_segments_and_records(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(1.5, 8000), 8000)
    with (tmp_path / "x.ark").open("wb") as ark:
        flac = encode_flac((tone(0.5) * 32767).astype(np.int16))
        write_record(ark, "first", flac)
        offset = write_record(ark, "second", flac).kaldi_offset
    wav = write_list(
        tmp_path / "wav.scp", f"a {tmp_path}/a.wav\nb {tmp_path}/x.ark:{offset}\nc none.wav\n"
    )
    assert [u.duration_s for u in with_durations(listed(wav))] == [1.5, 0.5, 0.0]
    segments = write_list(tmp_path / "segments", "s1 a 0.25 1.0\ns2 a 1.0 -1\n")
    assert [u.duration_s for u in with_durations(listed(wav, segments))] == [0.75, 0.5]


def test_audio_is_not_rounded_to_16_bits_nor_clipped(tmp_path):
    loud = (3 * tone(0.1)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", loud, 16000, subtype="FLOAT")
    np.testing.assert_array_equal(load_audio(str(tmp_path / "a.wav")), loud)
    left, right = tone(0.1, 44100), tone(0.1, 44100)[::-1]
    soundfile.write(tmp_path / "b.flac", np.stack([left, right], 1), 44100, subtype="PCM_24")
    expected = soxr.resample((left + right) / 2, 44100, 16000, quality="HQ")
    np.testing.assert_allclose(load_audio(str(tmp_path / "b.flac")), expected, atol=2e-7)


def test_audio_that_cannot_be_used_has_a_reason(tmp_path):
    (tmp_path / "text.wav").write_text("hello")
    soundfile.write(tmp_path / "short.wav", np.zeros(799), 32000)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    soundfile.write(tmp_path / "inf.wav", np.full(800, np.inf), 16000, subtype="FLOAT")
    names = ["absent", "empty", "inf", "short", "text"]
    utterances = plain_files([tmp_path / f"{name}.wav" for name in names])
    dropped = [usable_audio(u, shortest=401) for u in utterances]
    assert [d.reason for d in dropped] == [
        "unreadable", "too short", "unreadable", "too short", "unreadable",
    ]  # fmt: skip
    assert dropped[0].detail == f"{tmp_path}/absent.wav: No such file or directory"
    assert dropped[1].detail == "0 samples at 16 kHz; at least 401 make one frame"
    assert dropped[2].detail == f"{tmp_path}/inf.wav: holds NaN or infinite samples"
    assert dropped[3].detail == "400 samples at 16 kHz; at least 401 make one frame"
    assert dropped[4].detail == f"{tmp_path}/text.wav: Format not recognised."
