import io

import numpy as np
import pytest
import soundfile

from espnet2.data.audio import (
    content_hash,
    decode_flac,
    duration_s,
    encode_flac,
    level_dbfs,
    load_pcm,
    read_bytes,
    to_float,
    to_int16,
    trim_edges,
)
from espnet2.data.shards import write_record
from espnet2.utils.errors import DataError


def tone(seconds, rate_hz=16000, hz=440.0, level=0.5):
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(
        np.float32
    )


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_any_rate_and_format_becomes_16_khz_of_the_same_tone(tmp_path, rate_hz, suffix):
    path = tmp_path / f"a b.{suffix}"
    soundfile.write(path, tone(0.5, rate_hz), rate_hz)
    samples = to_float(load_pcm(str(path)).samples)
    assert abs(len(samples) - 8000) <= 1
    middle = samples[2000:6000]
    assert np.abs(np.fft.rfft(middle)).argmax() * 16000 / 4000 == pytest.approx(440, abs=4)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)


def test_stereo_is_averaged_and_24_bit_is_read(tmp_path):
    left, right = tone(0.2), tone(0.2, hz=1000)
    soundfile.write(tmp_path / "s.wav", np.stack([left, right], 1), 16000, subtype="PCM_24")
    samples = to_float(load_pcm(str(tmp_path / "s.wav")).samples)
    np.testing.assert_allclose(samples, (left + right) / 2, atol=2e-5)


def test_bytes_in_the_stored_form_pass_through_untouched(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(0.3), 16000, subtype="PCM_16")
    pcm = load_pcm(str(tmp_path / "a.flac"))
    assert pcm.flac == (tmp_path / "a.flac").read_bytes()
    assert load_pcm(str(tmp_path / "a.flac"), 0.1, 0.2).flac is None


def test_a_segment_is_cut_to_the_sample(tmp_path):
    audio = to_int16(tone(1.0))
    soundfile.write(tmp_path / "a.wav", audio, 16000)
    cut = load_pcm(str(tmp_path / "a.wav"), 0.25, 0.5).samples
    np.testing.assert_array_equal(cut, audio[4000:8000])
    with pytest.raises(DataError, match="segment ends at 9.0 s but the audio at 1.00 s"):
        load_pcm(str(tmp_path / "a.wav"), 0.25, 9.0)


def test_a_record_of_an_ark_is_an_address_like_any_other(tmp_path):
    flac = encode_flac(to_int16(tone(0.4)))
    with (tmp_path / "x.ark").open("wb") as ark:
        write_record(ark, "one", flac)
        record = write_record(ark, "two", flac)
    address = f"{tmp_path}/x.ark:{record.kaldi_offset}"
    assert read_bytes(address) == flac
    assert duration_s(address) == pytest.approx(0.4)
    assert load_pcm(address).flac == flac
    with pytest.raises(DataError, match="no AUDIO record"):
        read_bytes(f"{tmp_path}/x.ark:1")


def test_what_is_not_audio_is_refused_with_its_name(tmp_path):
    (tmp_path / "text.wav").write_text("hello")
    (tmp_path / "empty.wav").touch()
    soundfile.write(tmp_path / "cut.flac", tone(1.0), 16000)
    data = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(data[:20])
    soundfile.write(tmp_path / "nan.wav", np.full(800, np.nan), 16000, subtype="FLOAT")
    for name in ("text.wav", "empty.wav", "cut.flac", "nan.wav"):
        with pytest.raises(DataError, match=name):
            load_pcm(str(tmp_path / name))
    with pytest.raises(OSError, match="absent.wav"):
        load_pcm(str(tmp_path / "absent.wav"))


def test_flac_keeps_every_16_bit_sample():
    samples = np.random.default_rng(0).integers(-32768, 32768, 5000).astype(np.int16)
    np.testing.assert_array_equal(to_int16(decode_flac(encode_flac(samples))), samples)
    info = soundfile.info(io.BytesIO(encode_flac(samples)))
    assert (info.format, info.subtype, info.samplerate) == ("FLAC", "PCM_16", 16000)


def test_equal_audio_has_equal_hashes_and_one_changed_bit_another():
    samples = to_int16(tone(0.1))
    other = samples.copy()
    other[7] ^= 1
    assert content_hash(samples) == content_hash(samples.copy())
    assert content_hash(samples) != content_hash(other)
    assert len(content_hash(samples)) == 16


def test_level_of_a_full_scale_sine_is_minus_three_db():
    assert level_dbfs(to_int16(tone(1.0, level=1.0))) == pytest.approx(-3.01, abs=0.01)
    assert level_dbfs(np.zeros(100, np.int16)) == -np.inf


def test_trimming_cuts_silent_edges_and_keeps_the_margin():
    speech = to_int16(tone(0.5))
    silent = np.zeros(16000, np.int16)
    trimmed = trim_edges(np.concatenate([silent, speech, silent]), below_peak_db=40, keep_s=0.1)
    assert len(trimmed) == 8000 + 2 * 1600
    np.testing.assert_array_equal(trimmed[1600:9600], speech)
    np.testing.assert_array_equal(trim_edges(silent, below_peak_db=40, keep_s=0.1), silent)
