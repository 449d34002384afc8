"""Audio inside Parquet files: rows in order, rows without bytes, files that are none of it."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from espnet2.data import parquet
from espnet2.data.parquet import estimated_seconds, is_parquet, record_bytes
from espnet2.utils.errors import DataError

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(path, values, name="audio", **options):
    """A file with one audio column; values are bytes, (bytes, path) or None."""
    rows = [
        None if v is None else dict(zip(("bytes", "path"), v, strict=True))
        for v in (value if isinstance(value, tuple | None) else (value, None) for value in values)
    ]
    ids = [f"u{i}" for i in range(len(rows))]
    pq.write_table(pa.table({"id": ids, name: pa.array(rows, AUDIO)}), path, **options)
    return path


@pytest.fixture
def opened(monkeypatch):
    """Counts how often a file is opened to read rows."""
    starts = []

    class Counted(parquet.RowReader):
        def _enter(self, group):
            starts.append(group.number)
            super()._enter(group)

    monkeypatch.setattr(parquet, "RowReader", Counted)
    return starts


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("a b/x.parquet:0", True), ("x.PARQUET:17", True), ("x.parquet", False),
        ("x.parquet:-1", False), ("x.ark:4", False), ("cat x.parquet:1 |", False),
    ],
)  # fmt: skip
def test_an_address_is_a_file_and_a_row(source, answer):
    assert is_parquet(source) is answer


def test_rows_in_order_read_each_row_group_once_and_any_order_gives_the_same(tmp_path, opened):
    values = [bytes([i]) * (i + 1) for i in range(100)]
    path = write(tmp_path / "a b.parquet", values, row_group_size=30)
    assert [record_bytes(f"{path}:{i}") for i in range(100)] == values
    assert opened == [0, 1, 2, 3]
    for i in (99, 3, 3, 70, 4):
        assert record_bytes(f"{path}:{i}") == values[i]


def test_memory_is_a_batch_of_rows_not_the_file(tmp_path):
    rng = np.random.default_rng(0)
    values = [rng.bytes(1 << 20) for _ in range(48)]
    path = write(tmp_path / "x.parquet", values, write_batch_size=1, compression="none")
    before, most = pa.total_allocated_bytes(), 0
    for i, value in enumerate(values):
        assert record_bytes(f"{path}:{i}") == value
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 36 << 20  # a batch of 16 MiB and the one being made, of 48 MiB in one row group


def test_two_files_read_alternately_do_not_mix(tmp_path):
    one = write(tmp_path / "1.parquet", [b"a0", b"a1"])
    two = write(tmp_path / "2.parquet", [b"b0", b"b1"])
    sources = [f"{one}:0", f"{two}:0", f"{one}:1", f"{two}:1"]
    assert [record_bytes(source) for source in sources] == [b"a0", b"b0", b"a1", b"b1"]


def test_a_file_that_was_replaced_is_read_again(tmp_path):
    path = write(tmp_path / "x.parquet", [b"old", b"old"])
    assert record_bytes(f"{path}:0") == b"old"
    write(path, [b"newer", b"newer"])
    assert record_bytes(f"{path}:1") == b"newer"


def test_null_bytes_with_a_path_that_exists_are_that_file(tmp_path):
    (tmp_path / "beside.wav").write_bytes(b"beside")
    far = tmp_path / "far"
    far.mkdir()
    (far / "x.wav").write_bytes(b"far")
    path = write(tmp_path / "x.parquet", [(None, "beside.wav"), (None, str(far / "x.wav"))])
    assert [record_bytes(f"{path}:{i}") for i in (0, 1)] == [b"beside", b"far"]


def test_a_file_of_the_working_directory_does_not_stand_for_a_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wav").write_bytes(b"another's")
    (tmp_path / "rows").mkdir()
    path = write(tmp_path / "rows/x.parquet", [(None, "a.wav")])
    with pytest.raises(DataError, match="audio bytes are null"):
        record_bytes(f"{path}:0")


@pytest.mark.parametrize("value", [None, (None, None), (None, "gone.wav")])
def test_null_audio_is_refused(tmp_path, value):
    path = write(tmp_path / "x.parquet", [value, b"ok"])
    with pytest.raises(DataError, match=r"x\.parquet:0: audio bytes are null$"):
        record_bytes(f"{path}:0")
    assert record_bytes(f"{path}:1") == b"ok"


def test_the_audio_column_is_found_by_its_fields(tmp_path):
    path = write(tmp_path / "x.parquet", [b"found"], name="speech")
    assert record_bytes(f"{path}:0") == b"found"


def test_what_cannot_be_read_is_named(tmp_path):
    audio = write(tmp_path / "x.parquet", [b"1"])
    with pytest.raises(DataError, match=r"x\.parquet:1: no such row; the file has 1$"):
        record_bytes(f"{audio}:1")
    with pytest.raises(FileNotFoundError):
        record_bytes(f"{tmp_path}/gone.parquet:0")
    (tmp_path / "text.parquet").write_text("not parquet at all")
    with pytest.raises(DataError, match=r"text\.parquet: not a Parquet file: "):
        record_bytes(f"{tmp_path}/text.parquet:0")
    pq.write_table(pa.table({"id": ["a"], "wav": ["b"]}), tmp_path / "none.parquet")
    with pytest.raises(DataError, match=r"none\.parquet: no audio column .* columns are id, wav$"):
        record_bytes(f"{tmp_path}/none.parquet:0")
    values = pa.array([{"bytes": b"1", "path": None}], AUDIO)
    pq.write_table(pa.table({"one": values, "two": values}), tmp_path / "two.parquet")
    with pytest.raises(DataError, match=r"several audio columns \(one, two\)"):
        record_bytes(f"{tmp_path}/two.parquet:0")


def test_a_damaged_row_is_a_data_error_and_the_file_stays_usable(tmp_path):
    values = [np.random.default_rng(i).bytes(5000) for i in range(4)]
    path = write(tmp_path / "x.parquet", values, row_group_size=2, use_dictionary=False,
                 compression="none", write_page_checksum=True)  # fmt: skip
    data = bytearray(path.read_bytes())
    data[data.find(values[3]) + 100] ^= 1
    path.write_bytes(data)
    assert record_bytes(f"{path}:0") == values[0]
    with pytest.raises(DataError, match=r"x\.parquet:3: cannot be read: .*checksum"):
        record_bytes(f"{path}:3")
    assert record_bytes(f"{path}:1") == values[1]


def test_an_empty_file_has_no_row(tmp_path):
    path = write(tmp_path / "x.parquet", [])
    with pytest.raises(DataError, match="no such row; the file has 0"):
        record_bytes(f"{path}:0")


def test_seconds_are_estimated_from_metadata_to_within_a_tenth(tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.2, 16000 * 3)
    wav = io.BytesIO()
    soundfile.write(wav, noise, 16000, format="WAV", subtype="PCM_16")
    path = write(tmp_path / "x.parquet", [wav.getvalue()] * 5, use_dictionary=False)
    assert estimated_seconds(f"{path}:4") == pytest.approx(3.0, rel=0.1)
    with pytest.raises(DataError, match="no such row"):
        estimated_seconds(f"{path}:5")
