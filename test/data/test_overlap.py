"""What of the evaluation is in the pre-training set: by content, by name, and not by chance."""

import numpy as np
import pytest
import soundfile

from espnet2.bin import combine_data, format_data, overlap
from espnet2.data.audio import to_int16
from espnet2.data.kaldi import Utterance, write_kaldi, write_table
from espnet2.data.tsv import read_rows
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json

CONF = """
seed: 0
format: {min_s: 0.1, trim_edges: true, shard_hours: 1, max_drop_ratio: 0.5}
combine: {valid_ratio: 0}
"""


def speech(seed, silence_s=0.0):
    """A second of noise, with silence around it that trimming removes."""
    rng = np.random.default_rng(seed)
    edge = np.zeros(round(silence_s * 16000))
    return to_int16(np.concatenate([edge, rng.uniform(-0.3, 0.3, 16000), edge]))


def write_data(folder, clips, **columns):
    """A Kaldi directory of {utt_id: samples}; None is a file that is no audio."""
    (folder / "wav").mkdir(parents=True)
    utterances = []
    for name, samples in clips.items():
        path = folder / "wav" / f"{name}.wav"
        if samples is None:
            path.write_text("no audio")
        else:
            soundfile.write(path, samples, 16000)
        utterances.append(
            Utterance(utt_id=name, recording=name, source=str(path), speaker=name, language="eng")
        )
    write_kaldi(folder, utterances)
    for name, value in columns.items():
        write_table(folder / name, dict.fromkeys(clips, value))


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """A training set of the corpora a and b, and an evaluation that overlaps with it."""
    tmp_path = tmp_path_factory.mktemp("sets")
    write_data(tmp_path / "data/a", {"a1": speech(1), "a2": speech(2, 0.5), "a_t3": speech(3)})
    write_data(tmp_path / "data/b", {"x-d1": speech(11), "b-t4": speech(12), "rec": speech(13)})
    b = tmp_path / "data/b"
    (b / "wav.scp").write_text(f"rec {b}/wav/rec.wav\nt6 {b}/wav/x-d1.wav\nx-d1 {b}/wav/b-t4.wav\n")
    (b / "segments").write_text("b-t4 rec 0 -1\nt6-0 t6 0 0.4\nt6-1 t6 0.4 0.9\nx-d1 x-d1 0 -1\n")
    for name in ("utt2spk", "spk2utt", "utt2lang"):
        (b / name).unlink()
    test = {
        "t1": speech(1), "t2": speech(2, 0.5), "t3": speech(33), "t4": speech(34), "t5": speech(35),
        "t6": speech(36), "t7": None,
    }  # fmt: skip
    write_data(tmp_path / "superb/10min/test", test, utt2corpus="mls")
    write_data(tmp_path / "superb/10min/dev", {"d1": speech(41), "d2": speech(42)})
    write_data(tmp_path / "superb/1h/dev", {"d1": speech(41), "d2": speech(42)})
    scp = (tmp_path / "superb/10min/dev/wav.scp").read_text()
    (tmp_path / "superb/1h/dev/wav.scp").write_text(scp)
    (tmp_path / "conf.yaml").write_text(CONF)
    options = ["--conf", str(tmp_path / "conf.yaml"), "--log_dir", str(tmp_path / "log")]
    first = [*options, "--dump", str(tmp_path / "dump"), "--data", str(tmp_path / "data")]
    assert format_data.main(first) == combine_data.main(first) == 0
    return tmp_path, options


def find(tmp_path, options):
    command = [*options, "--index", str(tmp_path / "dump/train"), "--nj", "2"]
    command += ["--data", str(tmp_path / "superb"), "--out", str(tmp_path / "overlap.tsv")]
    return overlap.main(command)


def test_overlaps_are_found_by_content_and_by_name(paths, monkeypatch, capfd):
    tmp_path, options = paths
    monkeypatch.setattr(overlap, "UTTERANCES_A_UNIT", 3)
    assert find(tmp_path, options) == 0
    rows = [tuple(row.values()) for row in read_rows(tmp_path / "overlap.tsv")]
    assert rows == [
        ("10min/test", "t1", "mls", "eng", "a1", "a", "eng", "content"),
        ("10min/test", "t2", "mls", "eng", "a2", "a", "eng", "content"),
        ("10min/test", "t3", "mls", "eng", "a_t3", "a", "eng", "utterance id"),
        ("10min/test", "t4", "mls", "eng", "b-t4", "b", "und", "utterance id"),
        ("10min/test", "t6", "mls", "eng", "t6-0", "b", "und", "recording"),
    ]
    summary = read_json(tmp_path / "overlap.json")
    assert summary["sets"]["10min/test"] == {
        "mls": {"eng": {"utterances": 7, "by_content": 2, "by_id": 3, "overlapping": 5}}
    }
    assert summary["total"]["10min/dev"]["overlapping"] == 0
    assert list(summary["sets"]) == ["10min/dev", "10min/test"]  # 1h/dev is the same set
    assert summary["unreadable"] == {"10min/dev": 0, "10min/test": 1}
    log = capfd.readouterr().err + (tmp_path / "log/overlap.log").read_text()
    assert "overlap 10min/test: 5 of 7 utterances are in the pre-training set (2 by conte" in log
    assert "by id); 1 could not be read" in log
    assert "  mls eng: 5 of 7 (2 by content, 3 by id)" in log
    dropped = read_rows(tmp_path / "overlap/10min_test_002.dropped.tsv")
    assert [(row["utt_id"], row["reason"]) for row in dropped] == [("t7", "unreadable")]


def test_only_what_changed_is_hashed_again(paths, capfd):
    tmp_path, options = paths
    assert find(tmp_path, options) == 0
    before = (tmp_path / "overlap.tsv").read_bytes()
    capfd.readouterr()
    assert find(tmp_path, options) == 0
    assert capfd.readouterr().err.count("up to date") == 2
    soundfile.write(tmp_path / "superb/10min/dev/wav/d2.wav", speech(3), 16000)
    marker = tmp_path / "overlap/.10min_test_000.done"
    stamp = marker.stat().st_mtime_ns
    assert find(tmp_path, options) == 0
    assert marker.stat().st_mtime_ns == stamp
    rows = read_rows(tmp_path / "overlap.tsv")
    assert (rows[0]["utt_id"], rows[0]["pretraining_utt_id"]) == ("d2", "a_t3")
    soundfile.write(tmp_path / "superb/10min/dev/wav/d2.wav", speech(42), 16000)
    assert find(tmp_path, options) == 0
    assert (tmp_path / "overlap.tsv").read_bytes() == before


def test_further_tests_and_other_parts_of_the_same_recordings_are_sets_of_their_own(tmp_path):
    (tmp_path / "conf.yaml").write_text(
        f"{CONF}finetune: {{data: {{kind: kaldi, tests: [test_b]}}}}"
    )
    options = ["--conf", str(tmp_path / "conf.yaml"), "--log_dir", str(tmp_path / "log")]
    for name in ("a", "b", "c"):
        write_data(tmp_path / "data" / name, {f"{name}1": speech(ord(name))})
    first = [*options, "--dump", str(tmp_path / "dump"), "--data", str(tmp_path / "data")]
    assert format_data.main(first) == combine_data.main(first) == 0
    whole = np.concatenate([speech(ord("a")), speech(ord("b"))])
    stretches = {"dev": ["0 1"], "test": ["0.2 0.8", "1 2"]}
    for split, times in stretches.items():
        folder = tmp_path / "superb/full" / split
        write_data(folder, {"show": whole})
        lines = [f"{split}{n} show {time}\n" for n, time in enumerate(times, start=1)]
        (folder / "segments").write_text("".join(lines))
        (folder / "utt2lang").write_text("".join(f"{line.split()[0]} eng\n" for line in lines))
        (folder / "wav.scp").write_text(f"show {tmp_path}/superb/full/dev/wav/show.wav\n")
        for table in ("utt2spk", "spk2utt"):
            (folder / table).unlink()
    write_data(tmp_path / "superb/full/test_b", {"t": speech(ord("c"))})
    assert find(tmp_path, options) == 0
    found = {
        row["utt_id"]: row["pretraining_utt_id"] for row in read_rows(tmp_path / "overlap.tsv")
    }
    assert found == {"dev1": "a1", "test2": "b1", "t": "c1"}
    segments = tmp_path / "superb/full/dev/segments"
    segments.write_text("dev1 show 0.1 1\n")
    assert find(tmp_path, options) == 0
    assert "dev1" not in {row["utt_id"] for row in read_rows(tmp_path / "overlap.tsv")}


def test_a_missing_index_or_evaluation_is_named(tmp_path):
    (tmp_path / "conf.yaml").write_text(CONF)
    options = ["--conf", str(tmp_path / "conf.yaml"), "--log_dir", str(tmp_path / "log")]
    with pytest.raises(DataError, match=r"superb: no <track>/dev or <track>/test here; run superb"):
        find(tmp_path, options)
    write_data(tmp_path / "superb/10min/test", {"t1": speech(1)})
    with pytest.raises(DataError, match=r"overlap needs .*dump/train/index.json, which is missing"):
        find(tmp_path, options)
