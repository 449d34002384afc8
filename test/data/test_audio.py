import io
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import soundfile

from espnet2.data import audio as audio_module
from espnet2.data.audio import (
    TooLong,
    content_hash,
    decode_flac,
    duration_s,
    encode_flac,
    level_dbfs,
    load_audio,
    load_pcm,
    to_float,
    to_int16,
    trim_edges,
)
from espnet2.data.shards import write_record
from espnet2.data.sources import read_bytes
from espnet2.utils.errors import DataError


def tone(seconds, rate_hz=16000, hz=440.0, level=0.5):
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(
        np.float32
    )


def with_stated_length(flac, samples):
    """The same FLAC, whose header states another number of samples; 0 is "unknown"."""
    place = slice(21, 26)  # of STREAMINFO: the last 36 bits are the number of samples
    kept = int.from_bytes(flac[place], "big") & ~(2**36 - 1)
    return flac[:21] + (kept | samples).to_bytes(5, "big") + flac[26:]


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


def test_a_part_of_a_record_is_read_without_the_rest_and_wav_records_are_known(tmp_path):
    audio = to_int16(tone(1.0))
    soundfile.write(tmp_path / "a.wav", audio, 16000)
    with (tmp_path / "x.ark").open("wb") as ark:
        record = write_record(ark, "one", encode_flac(audio))
        ark.write(b"two ")
        wav_at = ark.tell()
        ark.write((tmp_path / "a.wav").read_bytes())
        ark.write(b"three ")
    for offset in (record.kaldi_offset, wav_at):
        cut = load_pcm(f"{tmp_path}/x.ark:{offset}", 0.25, 0.5)
        np.testing.assert_array_equal(cut.samples, audio[4000:8000])
        np.testing.assert_array_equal(load_pcm(f"{tmp_path}/x.ark:{offset}").samples, audio)
    with (tmp_path / "x.ark").open("r+b") as ark:
        ark.truncate(wav_at + 100)
    with pytest.raises(DataError, match="record cut short: 100 of 32044 bytes"):
        load_pcm(f"{tmp_path}/x.ark:{wav_at}")


def test_a_path_may_end_like_an_address_and_need_not_be_tidy(tmp_path, monkeypatch):
    audio = to_int16(tone(0.5))
    soundfile.write(tmp_path / "take:12", audio, 16000, format="WAV")
    monkeypatch.chdir(tmp_path)
    for source in ("take:12", "./take:12", f"{tmp_path}//take:12"):
        np.testing.assert_array_equal(load_pcm(source).samples, audio)


def test_rows_of_parquet_are_sources_and_null_bytes_are_said(tmp_path):
    flac = encode_flac(to_int16(tone(0.5)))
    rows = [{"bytes": flac, "path": "a.flac"}, {"bytes": None, "path": None}]
    table = pa.table({"audio": rows, "iso3": ["eng", "eng"]})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    assert load_pcm(f"{tmp_path}/rows.parquet:0").flac == flac
    assert len(load_pcm(f"{tmp_path}/rows.parquet:0", 0.1, 0.2).samples) == 1600
    assert duration_s(f"{tmp_path}/rows.parquet:0") > 0
    with pytest.raises(DataError, match=r"rows\.parquet:1: audio bytes are null"):
        load_pcm(f"{tmp_path}/rows.parquet:1")


def test_a_command_is_refused_unless_it_is_allowed(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(0.5), 16000)
    source = f"cat {tmp_path}/a.wav |"
    with pytest.raises(DataError, match="is a command; commands are run only with allow_pipes"):
        load_pcm(source)
    runs = []

    @lru_cache(maxsize=1)
    def fetch(command):
        runs.append(command)
        return read_bytes(command, allow_pipes=True)

    parts = [load_pcm(source, start, start + 0.1, fetch=fetch).samples for start in (0.0, 0.1, 0.2)]
    whole = load_pcm(str(tmp_path / "a.wav")).samples
    np.testing.assert_array_equal(np.concatenate(parts), whole[:4800])
    assert runs == [source]


@pytest.mark.parametrize(("file_format", "subtype"), [
    ("MP3", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("AIFF", "PCM_24"), ("AU", "ULAW"),
])  # fmt: skip
def test_every_format_of_libsndfile_is_read(tmp_path, file_format, subtype):
    path = tmp_path / "a.bin"
    soundfile.write(path, tone(1.0, 48000), 48000, format=file_format, subtype=subtype)
    samples = to_float(load_pcm(str(path)).samples)
    assert len(samples) == pytest.approx(16000, abs=1500)  # MP3 pads its ends
    spectrum = np.abs(np.fft.rfft(samples[4000:12000]))
    assert spectrum.argmax() * 16000 / 8000 == pytest.approx(440, abs=4)


def test_decoding_in_blocks_is_decoding_at_once(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.wav", rng.uniform(-0.4, 0.4, (50_000, 2)), 44100)
    soundfile.write(tmp_path / "b.flac", rng.uniform(-0.4, 0.4, 50_000), 16000)
    sources = [str(tmp_path / name) for name in ("a.wav", "b.flac")]
    whole = [load_pcm(source).samples for source in sources]
    floats = [load_audio(source) for source in sources]
    parts = [load_pcm(source, 0.3, 0.9).samples for source in sources]
    monkeypatch.setattr(audio_module, "BLOCK_SAMPLES", 777)
    monkeypatch.setattr(audio_module, "WHOLE_BYTES", 100)
    for i, source in enumerate(sources):
        np.testing.assert_array_equal(load_pcm(source).samples, whole[i])
        np.testing.assert_array_equal(load_audio(source), floats[i])
        np.testing.assert_array_equal(load_pcm(source, 0.3, 0.9).samples, parts[i])
    assert load_pcm(sources[1]).flac is None  # too large to be read into memory first


def test_what_is_not_audio_is_refused_with_its_name(tmp_path):
    (tmp_path / "text.wav").write_text("hello")
    (tmp_path / "empty.wav").touch()
    for name, value in (("nan.wav", np.nan), ("inf.wav", -np.inf)):
        soundfile.write(tmp_path / name, np.full(800, value), 16000, subtype="FLOAT")
    for name in ("text.wav", "empty.wav", "nan.wav", "inf.wav"):
        with pytest.raises(DataError, match=name):
            load_pcm(str(tmp_path / name))
    with pytest.raises(DataError, match="holds NaN or infinite samples"):
        load_pcm(str(tmp_path / "inf.wav"))
    with pytest.raises(OSError, match="absent.wav"):
        load_pcm(str(tmp_path / "absent.wav"))


@pytest.mark.parametrize("kept", [20, 41, 3000, -1])
def test_a_flac_cut_short_anywhere_is_refused(tmp_path, kept):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16000)
    soundfile.write(tmp_path / "cut.flac", noise, 16000)
    (tmp_path / "cut.flac").write_bytes((tmp_path / "cut.flac").read_bytes()[:kept])
    with pytest.raises(DataError, match="cut.flac: "):
        load_pcm(str(tmp_path / "cut.flac"))


def test_a_flac_that_states_more_than_it_holds_is_refused_and_one_that_states_nothing_is_read(
    tmp_path,
):
    samples = to_int16(tone(1.0))
    flac = encode_flac(samples)
    (tmp_path / "more.flac").write_bytes(with_stated_length(flac, 20_000))
    (tmp_path / "open.flac").write_bytes(with_stated_length(flac, 0))
    with pytest.raises(DataError, match="cut short: 16000 samples decode of the 20000 that it"):
        load_pcm(str(tmp_path / "more.flac"))
    pcm = load_pcm(str(tmp_path / "open.flac"))
    np.testing.assert_array_equal(pcm.samples, samples)
    assert pcm.flac is None  # what states no length is encoded anew
    np.testing.assert_array_equal(
        load_pcm(str(tmp_path / "open.flac"), 0.5).samples, samples[8000:]
    )
    with pytest.raises(DataError, match="open.flac: the header states no length"):
        duration_s(str(tmp_path / "open.flac"))


def test_a_wav_without_samples_is_empty_and_a_wav_of_unknown_length_is_read(tmp_path):
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.int16), 16000)
    assert load_pcm(str(tmp_path / "none.wav")).samples.shape == (0,)
    assert duration_s(str(tmp_path / "none.wav")) == 0
    soundfile.write(tmp_path / "stream.wav", tone(0.5), 16000)
    data = bytearray((tmp_path / "stream.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff" * 4  # what a program writes into a pipe
    (tmp_path / "stream.wav").write_bytes(data)
    assert len(load_pcm(str(tmp_path / "stream.wav")).samples) == 8000


def test_a_header_that_cannot_be_right_is_refused_and_500_channels_are_read(tmp_path):
    soundfile.write(tmp_path / "slow.wav", tone(0.5), 10)
    with pytest.raises(DataError, match="slow.wav: its sampling rate, 10 Hz, cannot be right"):
        load_pcm(str(tmp_path / "slow.wav"))
    wide = np.tile(tone(0.1)[:, None], (1, 500))
    soundfile.write(tmp_path / "wide.wav", wide, 16000)
    samples = load_pcm(str(tmp_path / "wide.wav")).samples
    np.testing.assert_allclose(samples, to_int16(tone(0.1)), atol=1)
    (tmp_path / "samples.raw").write_bytes(bytes(32000))
    for end_s in (None, 0.5):
        with pytest.raises(DataError, match="samples.raw: "):
            load_pcm(str(tmp_path / "samples.raw"), 0.0, end_s)


def test_audio_that_is_too_long_by_its_header_is_not_decoded(tmp_path):
    flac = encode_flac(to_int16(tone(1.0)))
    (tmp_path / "a.flac").write_bytes(with_stated_length(flac, 32_000))
    with pytest.raises(TooLong, match=r"a.flac: 2.000 s; at most 1.5 s") as error:
        load_pcm(str(tmp_path / "a.flac"), longest_s=1.5)
    assert error.value.seconds == 2.0
    assert len(load_pcm(str(tmp_path / "a.flac"), 0.2, 0.9, longest_s=0.7).samples) == 11_200


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
