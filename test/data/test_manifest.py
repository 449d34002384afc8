import os
import socket
import subprocess
import tracemalloc

import numpy as np
import pytest
import soundfile

from espnet2.data.audio import to_int16
from espnet2.data.config import FormatConfig
from espnet2.data.format import manifest
from espnet2.data.format.manifest import plan_shards
from espnet2.data.kaldi import Utterance, tables, write_kaldi
from espnet2.data.tsv import read_rows
from espnet2.utils import files
from espnet2.utils.errors import DataError


def utterance(utt_id, source="absent.wav", **more):
    return Utterance(utt_id=utt_id, recording=utt_id, source=str(source), speaker="s", **more)


def make_corpus(folder, seconds):
    """A directory of {utt_id: seconds of noise}."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for utt_id, length in seconds.items():
        audio = to_int16(rng.uniform(-0.3, 0.3, round(length * 16000)))
        soundfile.write(folder / f"{utt_id}.wav", audio, 16000)
    write_kaldi(folder, [utterance(u, folder / f"{u}.wav") for u in seconds])
    return folder


def plan(data, out, **options):
    return plan_shards(data, out, FormatConfig(**options))


def shard_ids(manifests):
    return [[row["utt_id"] for row in read_rows(path)] for path in manifests]


def test_shards_are_filled_in_c_order_up_to_their_seconds(tmp_path):
    lengths = {"a": 3.0, "B": 2.0, "c": 2.5, "d": 9.0, "e": 1.0, "é": 1.0}
    write_kaldi(tmp_path / "x", [utterance(u, duration_s=s) for u, s in lengths.items()])
    manifests = plan(tmp_path / "x", tmp_path / "dump/x", shard_hours=5 / 3600)
    assert shard_ids(manifests) == [["B", "a"], ["c"], ["d"], ["e", "é"]]
    assert [path.name for path in manifests] == ["000.tsv", "001.tsv", "002.tsv", "003.tsv"]
    assert sorted(p.name for p in (tmp_path / "dump/x/shards").iterdir()) == [
        "000.tsv", "001.tsv", "002.tsv", "003.tsv"
    ]  # fmt: skip


def test_a_shard_of_audio_without_a_length_has_an_end_too(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "MAX_UTTERANCES", 4)
    write_kaldi(tmp_path / "x", [utterance(f"u{i}") for i in range(10)])
    manifests = plan(tmp_path / "x", tmp_path / "dump/x")
    assert [len(ids) for ids in shard_ids(manifests)] == [4, 4, 2]
    assert {row["bytes"] for path in manifests for row in read_rows(path)} == {"-1"}


def test_lengths_come_from_utt2dur_then_segments_then_headers(tmp_path):
    data = make_corpus(tmp_path / "x", {"a": 1.0, "b": 2.0})

    def part(name, recording, start, end, stated=None):
        return Utterance(utt_id=name, recording=recording, source=str(data / f"{recording}.wav"),
                         speaker="s", start_s=start, end_s=end, duration_s=stated)  # fmt: skip

    def planned(parts):
        write_kaldi(data, parts)
        (path,) = plan(data, tmp_path / "dump/x")
        return [float(row["seconds"]) for row in read_rows(path)]

    assert planned([part("p", "a", 0.25, 0.75), part("q", "b", 0.5, None)]) == [0.5, 1.5]
    stated = [part("p", "a", 0.25, 0.75, 0.4), part("q", "b", 0.5, None, 1.25)]
    assert planned(stated) == [0.4, 1.25]


def test_headers_are_read_once_and_those_of_changed_files_again(tmp_path, monkeypatch):
    data = make_corpus(tmp_path / "x", {"a": 1, "b": 2, "c": 1})
    asked = []
    real = manifest.duration_s
    monkeypatch.setattr(manifest, "duration_s", lambda s: asked.append(s) or real(s))
    first = plan(data, tmp_path / "dump/x", shard_hours=2.5 / 3600)
    assert shard_ids(first) == [["a"], ["b"], ["c"]]
    assert len(asked) == 3
    assert plan(data, tmp_path / "dump/x", shard_hours=2.5 / 3600) == first
    assert shard_ids(plan(data, tmp_path / "dump/x", shard_hours=1)) == [["a", "b", "c"]]
    assert len(asked) == 3  # known from the earlier manifests
    soundfile.write(data / "c.wav", np.zeros(8000), 16000)
    assert shard_ids(plan(data, tmp_path / "dump/x", shard_hours=2.5 / 3600)) == [["a"], ["b", "c"]]
    assert asked[3:] == [str(data / "c.wav")]


def test_a_touched_file_changes_the_digest_of_its_shard_alone(tmp_path):
    data = make_corpus(tmp_path / "x", {"a": 1, "b": 1})
    first = plan(data, tmp_path / "dump/x", shard_hours=1 / 3600)
    before = {path: path.stat().st_mtime_ns for path in first}
    soundfile.write(data / "b.wav", np.full(16000, 0.1), 16000)
    second = plan(data, tmp_path / "dump/x", shard_hours=1 / 3600)
    assert [first[path] == second[path] for path in first] == [True, False]
    assert {path: path.stat().st_mtime_ns for path in first} == before  # the rows are the same


def test_an_invalid_directory_is_refused_with_all_problems_and_the_earlier_plan_stays(tmp_path):
    data = make_corpus(tmp_path / "x", {"a": 1, "b": 1, "c": 1})
    (earlier,) = plan(data, tmp_path / "dump/x")
    before = earlier.read_bytes()
    (data / "wav.scp").write_text("a a.wav\nc c.wav\nb b.wav\nd cat d.wav |\n")
    with pytest.raises(DataError, match=r"(?s)wav.scp:3: .*out of order.*wav.scp:4: .*a command"):
        plan(data, tmp_path / "dump/x")
    assert earlier.read_bytes() == before
    plan(make_corpus(tmp_path / "x", {"a": 1, "b": 1, "c": 1}), tmp_path / "dump/x")
    assert [p.name for p in (tmp_path / "dump/x/shards").iterdir()] == ["000.tsv"]


def test_a_command_has_a_length_only_where_one_is_stated(tmp_path):
    write_kaldi(tmp_path / "x", [utterance("a", "cat a.wav |")])
    with pytest.raises(DataError, match="a is a command"):
        plan(tmp_path / "x", tmp_path / "dump/x")
    (path,) = plan(tmp_path / "x", tmp_path / "dump/x", allow_pipes=True)
    assert [row["seconds"] for row in read_rows(path)] == ["10.0"]


def test_a_changed_file_behind_a_command_changes_the_digest(tmp_path):
    data = make_corpus(tmp_path / "x", {"a": 1})
    sources = {"a": f"sox '{data / 'a.wav'}' --temp {tmp_path} -t wav - |", "b": "say b |"}
    write_kaldi(data, [utterance(u, source) for u, source in sources.items()])
    options = {"allow_pipes": True, "shard_hours": 1 / 3600}
    first = plan(data, tmp_path / "dump/x", **options)
    (tmp_path / "changes the time of the folder").touch()
    assert plan(data, tmp_path / "dump/x", **options) == first
    soundfile.write(data / "a.wav", np.full(16000, 0.1), 16000)
    second = plan(data, tmp_path / "dump/x", **options)
    assert [first[path] == second[path] for path in first] == [False, True]


def test_manifests_are_not_synced_at_every_start(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(files, "sync", synced.append)
    write_kaldi(tmp_path / "x", [utterance(u, duration_s=1.0) for u in "abc"])
    assert len(plan(tmp_path / "x", tmp_path / "dump/x", shard_hours=1 / 3600)) == 3
    assert [path for path in synced if "dump" in path.parts] == []


def test_recordings_whose_segments_interleave_share_a_shard(tmp_path):
    ids = ["a", "a!", "a-0", "a-1", "a0", "b", "b-x"]
    write_kaldi(tmp_path / "x", [utterance(i, duration_s=3.0) for i in ids])
    one = {"shard_hours": 3 / 3600}
    apart = plan(tmp_path / "x", tmp_path / "dump/x", **one)
    assert shard_ids(apart) == [[i] for i in ids]
    together = plan(tmp_path / "x", tmp_path / "dump/x", **one, vad_corpora=["x"])
    assert shard_ids(together) == [["a", "a!", "a-0", "a-1"], ["a0"], ["b", "b-x"]]
    named = [sorted(f"{i}-{t:08d}-{t + 1:08d}" for i in ids for t in (0, 999)) for ids in
             shard_ids(together)]  # fmt: skip
    assert sum(named, []) == sorted(sum(named, []))


def test_memory_does_not_grow_with_the_corpus(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "MAX_UTTERANCES", 250)
    monkeypatch.setattr(tables, "BLOCK_BYTES", 4096)  # else what is read at once counts
    peaks = []
    for count in (500, 4000):
        data = tmp_path / str(count)
        write_kaldi(data, [utterance(f"u{i:06d}", duration_s=1.0) for i in range(count)])
        tracemalloc.start()
        manifests = plan(data, tmp_path / "dump" / str(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert sum(map(len, shard_ids(manifests))) == count
    assert peaks[1] < 1.2 * peaks[0]


def test_what_a_killed_process_staged_is_removed_and_a_living_ones_is_left(tmp_path):
    data = make_corpus(tmp_path / "x", {"a": 1})
    dead = subprocess.Popen(["true"])
    dead.wait()
    shards = tmp_path / "dump/x/shards"
    for process in (dead.pid, os.getppid()):
        (shards / f".plan.{socket.gethostname()}.{process}").mkdir(parents=True)
    plan(data, tmp_path / "dump/x")
    assert sorted(path.name for path in shards.iterdir()) == [
        f".plan.{socket.gethostname()}.{os.getppid()}", "000.tsv"
    ]  # fmt: skip
