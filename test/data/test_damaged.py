"""Files that libsndfile would read without a word: empty ones, and WAVs copied in part."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from espnet2.data.audio import duration_s, load_audio, load_pcm
from espnet2.data.kaldi.check import examine
from espnet2.utils.errors import DataError

RATE_HZ = 16_000
SIZE_AT = 40  # of libsndfile's WAV header: the number of bytes of audio


@pytest.fixture
def wav() -> bytes:
    """A second of 16-bit noise: 32,000 bytes of audio."""
    buffer = io.BytesIO()
    samples = np.random.default_rng(1).integers(-9000, 9000, RATE_HZ, dtype=np.int16)
    soundfile.write(buffer, samples, RATE_HZ, format="WAV")
    return buffer.getvalue()


def test_validating_a_directory_opens_what_a_parquet_row_holds(wav, tmp_path):
    row = {"bytes": wav[:-1000], "path": "a.wav"}
    pq.write_table(pa.table({"audio": [row]}), tmp_path / "rows.parquet")
    source = f"{tmp_path}/rows.parquet:0"
    (tmp_path / "wav.scp").write_text(f"a {source}\n")
    (problem,) = examine(tmp_path, audio=True, headers=True).problems
    assert problem.endswith(
        f"{source}: cut short: 31000 bytes of audio of the 32000 that its header states"
    )


def stating(wav: bytes, size: int) -> bytes:
    """The same WAV with another number of bytes in its header."""
    assert wav[SIZE_AT - 4 : SIZE_AT] == b"data"
    return wav[:SIZE_AT] + size.to_bytes(4, "little") + wav[SIZE_AT + 4 :]


@pytest.mark.parametrize("read", [load_pcm, load_audio, duration_s])
def test_a_wav_that_was_not_copied_whole_is_refused(wav, tmp_path, read):
    path = tmp_path / "half.wav"
    path.write_bytes(wav[: SIZE_AT + 4 + 16_000])
    message = f"{path}: cut short: 16000 bytes of audio of the 32000 that its header states"
    with pytest.raises(DataError) as error:
        read(str(path))
    assert str(error.value) == message


def test_a_wav_whose_list_of_tags_is_cut_off_is_refused_as_no_audio(wav, tmp_path):
    tags = b"LIST" + (4000).to_bytes(4, "little") + b"INFO"
    path = tmp_path / "tags.wav"
    path.write_bytes(wav[: SIZE_AT - 4] + tags)
    with pytest.raises(DataError, match=r"tags\.wav: "):
        load_pcm(str(path))


def test_tags_before_the_audio_do_not_hide_that_it_is_cut_short(wav, tmp_path):
    tags = b"LIST" + (5001).to_bytes(4, "little") + bytes(5002)  # padded to an even number
    path = tmp_path / "tags.wav"
    path.write_bytes(wav[: SIZE_AT - 4] + tags + wav[SIZE_AT - 4 : -1000])
    with pytest.raises(DataError, match="31000 bytes of audio of the 32000"):
        load_pcm(str(path))


def test_a_segment_before_the_cut_is_read(wav, tmp_path):
    path = tmp_path / "half.wav"
    path.write_bytes(wav[: SIZE_AT + 4 + 16_000])
    assert len(load_pcm(str(path), 0.1, 0.4).samples) == 4800


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 32_000 + 44])
def test_a_wav_that_was_written_to_a_pipe_is_read_to_its_end(wav, tmp_path, size):
    path = tmp_path / "streamed.wav"
    path.write_bytes(stating(wav, size))
    assert len(load_pcm(str(path)).samples) == RATE_HZ
    assert duration_s(str(path)) == 1.0


@pytest.mark.parametrize("read", [load_pcm, load_audio, duration_s])
def test_a_file_of_no_bytes_is_called_empty(tmp_path, read):
    path = tmp_path / "none.wav"
    path.touch()
    with pytest.raises(DataError) as error:
        read(str(path))
    assert str(error.value) == f"{path}: empty file"
