import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import kaldiio
import numpy as np
import pytest

from espnet2.data import shards
from espnet2.data.audio import encode_flac, to_float
from espnet2.data.shards import MAX_OPEN_SHARDS, ShardReader, write_record


def noise(n, seed=0):
    return np.random.default_rng(seed).integers(-9000, 9000, n).astype(np.int16)


def test_kaldiio_reads_what_we_write_by_offset_and_as_a_whole(tmp_path):
    clips = {"utt-a": noise(1000), "été": noise(300_000, 1)}  # sizes of two and three bytes
    addresses = {}
    with (tmp_path / "000.ark").open("wb") as ark:
        for utt_id, samples in clips.items():
            record = write_record(ark, utt_id, encode_flac(samples))
            addresses[utt_id] = f"{tmp_path}/000.ark:{record.kaldi_offset}"
    for utt_id, samples in clips.items():
        rate_hz, audio = kaldiio.load_mat(addresses[utt_id])
        assert rate_hz == 16000
        np.testing.assert_array_equal(audio.astype(np.float32), to_float(samples))
    assert list(dict(kaldiio.load_ark(str(tmp_path / "000.ark")))) == list(clips)


def test_we_read_what_kaldiio_writes_byte_for_byte(tmp_path):
    ours, theirs = tmp_path / "ours.ark", tmp_path / "theirs.ark"
    samples = noise(2000)
    with ours.open("wb") as ark:
        write_record(ark, "utt", encode_flac(samples))
    kaldiio.save_ark(
        str(theirs),
        {"utt": (16000, samples)},
        write_function="soundfile",
        write_kwargs={"format": "flac", "subtype": "PCM_16"},
    )
    assert ours.read_bytes() == theirs.read_bytes()


def test_the_reader_keeps_a_bounded_number_of_files_open(tmp_path):
    for i in range(MAX_OPEN_SHARDS + 9):
        (tmp_path / f"{i}.ark").write_bytes(bytes([i]) * 4)
    reader = ShardReader(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for i in range(MAX_OPEN_SHARDS + 9):
        assert reader.read(f"{i}.ark", 1, 2) == bytes([i]) * 2
    assert len(os.listdir("/proc/self/fd")) - before == MAX_OPEN_SHARDS
    reader.close()


def test_a_thread_does_not_close_the_file_that_another_is_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MAX_OPEN_SHARDS", 1)
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode() * 4)
    reader, plain, other_read = ShardReader(tmp_path), os.pread, threading.Event()

    def slow(descriptor, *place):
        if not other_read.is_set() and threading.current_thread().name.startswith("first"):
            other_read.wait(0.1)  # in which the other thread would take its place
        return plain(descriptor, *place)

    monkeypatch.setattr(os, "pread", slow)
    with ThreadPoolExecutor(1, "first") as first, ThreadPoolExecutor(1, "second") as second:
        one = first.submit(reader.read, "a", 0, 4)
        other = second.submit(reader.read, "b", 0, 4)
        other.add_done_callback(lambda _: other_read.set())
        assert (one.result(), other.result()) == (b"aaaa", b"bbbb")


def test_a_short_or_missing_shard_is_an_error_and_a_pickled_reader_works(tmp_path):
    (tmp_path / "a.ark").write_bytes(b"12345")
    reader = pickle.loads(pickle.dumps(ShardReader(tmp_path)))
    assert reader.read("a.ark", 1, 3) == b"234"
    with pytest.raises(OSError, match="a.ark: cut short: 2 of 9 bytes at 3"):
        reader.read("a.ark", 3, 9)
    with pytest.raises(FileNotFoundError, match=r"b\.ark"):
        reader.read("b.ark", 0, 1)
