"""A set as a Kaldi directory: read by kaldiio, valid, and the same again after stage 2."""

import os
import subprocess
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
from toy_dump import write_set

from espnet2.bin import combine_data, export_data, format_data, validate_data
from espnet2.data import export_kaldi
from espnet2.data.audio import to_int16
from espnet2.data.index import Index, IndexedUtterance, table_of, write_index
from espnet2.data.kaldi import Utterance, check_kaldi, write_kaldi
from espnet2.data.shards import ShardReader

ESPNET = Path(__file__).resolve().parents[2] / "tools/espnet_venv/bin/python"
CONF = """
seed: 0
format: {min_s: 0.1, max_s: 5, shard_hours: 0.001}
combine: {valid_ratio: 0}
"""


def clip(seconds, seed):
    rng = np.random.default_rng(seed)
    return to_int16(rng.uniform(-0.3, 0.3, round(seconds * 16000)))


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    """A training set of two corpora; ids of the second come before those of the first."""
    tmp_path, clips = tmp_path_factory.mktemp("set"), {}
    for corpus, names in {"a b": ["z1", "é2", "z0"], "c": ["m1", "A1", "m0", "ÿ"]}.items():
        folder, utterances = tmp_path / "data" / corpus, []
        folder.mkdir(parents=True)
        for name in names:
            clips[name] = clip(1 + len(clips) / 7, len(clips))
            soundfile.write(folder / f"{name}.wav", clips[name], 16000)
            utterances.append(
                Utterance(
                    utt_id=name, recording=name, source=str(folder / f"{name}.wav"),
                    speaker=f"s{name[0]}", language="fra" if name.startswith("z") else "ces",
                )
            )  # fmt: skip
        write_kaldi(folder, utterances)
    (tmp_path / "conf.yaml").write_text(CONF)
    options = ["--conf", str(tmp_path / "conf.yaml"), "--log_dir", str(tmp_path / "log")]
    options += ["--dump", str(tmp_path / "dump"), "--data", str(tmp_path / "data")]
    assert format_data.main(options) == combine_data.main(options) == 0
    return tmp_path / "dump", clips


def payloads(folder):
    """Utterance -> (language, speaker, FLAC bytes) of a set."""
    index = Index.open(folder)
    reader = ShardReader(index.root)
    rows = [index.utterance(i) for i in range(len(index))]
    return {
        u.utt_id: (u.language, u.speaker, reader.read(u.shard, u.offset, u.nbytes)) for u in rows
    }


def test_an_export_is_valid_and_kaldiio_reads_the_samples(dump, tmp_path, capsys):
    dump, clips = dump
    out = tmp_path / "exp ort"
    assert export_data.main(["--index", str(dump / "train"), "--out", str(out)]) == 0
    assert validate_data.main([str(out), "--audio"]) == 0
    assert f"{out}: 7 utterances, valid" in capsys.readouterr().out
    loaded = kaldiio.load_scp(str(out / "wav.scp"))
    assert list(loaded) == ["A1", "m0", "m1", "z0", "z1", "é2", "ÿ"]
    for name, (rate_hz, samples) in loaded.items():
        assert rate_hz == 16000
        np.testing.assert_array_equal(samples * 32768, clips[name])
    assert (out / "spk2utt").read_text() == "sA A1\nsm m0 m1\nsz z0 z1\nsé é2\nsÿ ÿ\n"
    assert (out / "utt2lang").read_text().split()[:6] == ["A1", "ces", "m0", "ces", "m1", "ces"]
    assert (out / "utt2corpus").read_text().splitlines()[2:4] == ["m1 c", "z0 a b"]
    samples = dict(line.split() for line in (out / "utt2num_samples").read_text().splitlines())
    assert samples == {name: str(len(clips[name])) for name in clips}
    assert not (out / "segments").exists()
    assert not (out / "text").exists()


def test_stage_2_gives_the_exported_set_again(dump, tmp_path):
    dump, _ = dump
    data = tmp_path / "back" / "whole"
    assert export_data.main(["--index", str(dump / "train"), "--out", str(data)]) == 0
    (tmp_path / "conf.yaml").write_text(CONF)
    options = ["--conf", str(tmp_path / "conf.yaml"), "--log_dir", str(tmp_path / "log2")]
    options += ["--dump", str(tmp_path / "dump2"), "--data", str(data.parent)]
    assert format_data.main(options) == 0
    assert payloads(tmp_path / "dump2/whole") == payloads(dump / "train")
    assert export_data.main(
        ["--index", str(tmp_path / "dump2/whole"), "--out", str(tmp_path / "again")]
    ) == 0  # fmt: skip
    for name in ("utt2spk", "spk2utt", "utt2lang", "utt2num_samples", "utt2dur"):
        assert (tmp_path / "again" / name).read_bytes() == (data / name).read_bytes()


def test_labels_become_the_text_and_go_away_with_the_next_export(tmp_path):
    clips = [clip(0.1, i) for i in range(3)]
    labels = [np.arange(4, dtype=np.uint16) + 100 * i for i in range(3)]
    write_set(tmp_path / "dump/train", clips, labels)
    command = ["--index", str(tmp_path / "dump/train"), "--out", str(tmp_path / "out")]
    assert export_data.main([*command, "--labels", str(tmp_path / "dump/train/labels")]) == 0
    assert (tmp_path / "out/text").read_text() == (
        "u00 0 1 2 3\nu01 100 101 102 103\nu02 200 201 202 203\n"
    )
    tokens = (tmp_path / "out/tokens.txt").read_text().splitlines()
    assert tokens == [*map(str, range(2500)), "<unk>", "<sos/eos>"]
    assert check_kaldi(tmp_path / "out", audio=True) == []
    assert export_data.main(command) == 0
    assert not (tmp_path / "out/text").exists()
    assert not (tmp_path / "out/tokens.txt").exists()


@pytest.mark.parametrize("max_runs", [1, 5, 512])
def test_any_order_of_an_index_is_exported_in_c_order(tmp_path, monkeypatch, max_runs):
    ids = [f"{i * 77 % 211:x}é{i}" for i in range(400)]
    rows = [
        IndexedUtterance(
            utt_id=name, recording=name, shard="t/000.ark", offset=100 * i, nbytes=9,
            num_samples=160 * (i + 1), language="eng", corpus="t", speaker=f"s{i % 7}",
            content_hash="0" * 16,
        )
        for i, name in enumerate(ids)
    ]  # fmt: skip
    write_index(tmp_path / "t/index.arrow", table_of(rows))
    monkeypatch.setattr(export_kaldi, "MAX_RUNS", max_runs)
    monkeypatch.setattr(export_kaldi, "ROWS_OF_RUN", 3)
    monkeypatch.setattr(export_kaldi, "ROWS_AT_ONCE", 50)
    found = np.concatenate(list(export_kaldi.rows_in_c_order(Index.open(tmp_path / "t"))))
    assert [ids[row] for row in found] == sorted(ids, key=str.encode)
    export_kaldi.export_kaldi(Index.open(tmp_path / "t"), tmp_path / "out")
    for name in ("wav.scp", "utt2dur", "spk2utt"):
        command = ["sort", "-c", str(tmp_path / "out" / name)]
        assert subprocess.run(command, env={"LC_ALL": "C"}, check=False).returncode == 0
    lines = dict(line.split(" ") for line in (tmp_path / "out/wav.scp").read_text().splitlines())
    assert lines[ids[123]] == f"{tmp_path}/t/000.ark:{12300 - 7}"


READ_BY_ESPNET = """
import sys
import numpy as np
from espnet2.train.dataset import ESPnetDataset
data = ESPnetDataset([(sys.argv[1] + "/wav.scp", "speech", "kaldi_ark")])
np.savez(sys.argv[2], **{name: data[name][1]["speech"] for name in data})
"""


@pytest.mark.peer
def test_espnet_reads_an_export_as_kaldi_ark(dump, tmp_path):
    if not ESPNET.exists():
        pytest.skip("needs tools/espnet_venv; tools/install.sh --with_espnet makes it")
    dump, clips = dump
    out, found = tmp_path / "out", tmp_path / "found.npz"
    assert export_data.main(["--index", str(dump / "train"), "--out", str(out)]) == 0
    command = [str(ESPNET), "-c", READ_BY_ESPNET, str(out), str(found)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    with np.load(found) as arrays:
        assert sorted(arrays) == sorted(clips)
        for name, samples in clips.items():
            np.testing.assert_array_equal(arrays[name] * 32768, samples)
