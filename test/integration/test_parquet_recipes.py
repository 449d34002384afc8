"""The three data sets that came with XEUS: their own recipes from Parquet to hours, stages 1 to 3.

The Parquet files are tiny, laid out as on Hugging Face, and hold synthetic speech with pauses.
"""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import soxr

from espnet2.data.corpora.synthetic import SpokenLine, speak
from espnet2.data.index import Index

ROOT = Path(__file__).resolve().parents[2]
AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
TEXTS = {"fr": "Le chat dort sur le toit", "eo": "La kato dormas sur la tegmento"}
PAUSE_S = 1.5

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """16 kHz FLAC bytes of three sentences and two pauses, for each of two languages."""
    folder = tmp_path_factory.mktemp("voices")
    lines = [
        SpokenLine(utt_id=f"{code}{i}", text=text, voice=f"{code}+m{i + 1}", rate_wpm=160,
                   pitch=50, seed=i)
        for code, text in TEXTS.items() for i in range(3)
    ]  # fmt: skip
    speak(lines, folder)
    return {code: recording([folder / f"{code}{i}.wav" for i in range(3)]) for code in TEXTS}


def recording(paths):
    """The files one after the other, with pauses that a voice activity detector hears."""
    parts = []
    for path in paths:
        samples, rate_hz = soundfile.read(path, dtype="float32")
        parts += [soxr.resample(samples, rate_hz, 16000), np.zeros(round(PAUSE_S * 16000))]
    buffer = io.BytesIO()
    soundfile.write(buffer, np.concatenate(parts[:-1]), 16000, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def write(path, audio, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = pa.array([{"bytes": data, "path": None} for data in audio], AUDIO)
    pq.write_table(pa.table({**columns, "audio": values}), path, row_group_size=2)


def run(name, place, *options):
    """The recipe's own driver, in a folder of its own with a space in its path."""
    command = [ROOT / f"egs2/{name}/ssl1/run.sh", "--recipe_dir", place, "--nj", "1",
               "--corpora", ROOT / f"egs2/{name}/ssl1/local/corpora.yaml", *options]  # fmt: skip
    done = subprocess.run(
        list(map(str, command)),
        cwd="/",
        env={**os.environ, "XEUS_PYTHON": sys.executable},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def dropped(path):
    with open(path, encoding="utf-8", newline="") as file:
        return [tuple(row) for row in csv.reader(file, delimiter="\t")][1:]


def check_pieces(index, recordings_in, languages):
    """Each recording was cut at its two pauses, and the pieces carry its language."""
    pieces = {}
    for i in range(len(index)):
        pieces.setdefault(index.recordings[i], []).append(index.utt_ids[i])
    assert sorted(pieces) == sorted(recordings_in)
    for name, ids in pieces.items():
        assert len(ids) == 3
        assert all(utt_id.startswith(f"{name}-") for utt_id in ids)
    assert {index.languages[i] for i in range(len(index))} == set(languages)


def test_mms_ulab_v2_with_two_files_a_null_language_and_null_audio(recordings, tmp_path):
    place = tmp_path / "my mms"
    folder = place / "downloads/mms_ulab_v2/data"
    fra, epo = recordings["fr"], recordings["eo"]
    write(folder / "train-00000-of-00002.parquet", [fra, epo], id=["a", "ü"], iso3=["fra", "epo"])
    write(folder / "train-00001-of-00002.parquet", [epo[:-5000], None, fra], id=["c", "d", "e"],
          iso3=["epo", "fra", None])  # fmt: skip
    output = run("mms_ulab_v2", place, "--set", "format.max_drop_ratio=0.5")
    where = "downloads/mms_ulab_v2/data/train-00001-of-00002.parquet:2"
    assert dropped(place / "data/mms_ulab_v2/dropped.tsv") == [
        ("mms_ulab_v2-e", "no language", f"{where}: iso3 is null"),
    ]
    reasons = {row[0]: row[2] for row in dropped(place / "dump/mms_ulab_v2/dropped.tsv")}
    assert "audio bytes are null" in reasons["mms_ulab_v2-d"]
    assert "mms_ulab_v2-c" in reasons
    check_pieces(Index.open(place / "dump/mms_ulab_v2"), ["mms_ulab_v2-a", "mms_ulab_v2-ü"],
                 ["fra", "epo"])  # fmt: skip
    train, valid = (
        json.loads((place / "dump/hours.json").read_text())[s] for s in ("train", "valid")
    )
    assert train["total"]["utterances"] + valid["total"]["utterances"] >= 4
    table = [line for line in output.splitlines() if line.startswith("mms_ulab_v2 ")]
    assert table[0].split()[-1] == "6700.0"
    again = run("mms_ulab_v2", place, "--set", "format.max_drop_ratio=0.5")
    assert again.count("up to date") == 4  # data, shards, corpus, combine
    assert "failed" not in again


def test_wikitongues_names_no_language(recordings, tmp_path):
    place = tmp_path / "my tongues"
    write(place / "downloads/wikitongues/train-00000-of-00001.parquet", list(recordings.values()),
          id=["jf_00000", "jf_00001"])  # fmt: skip
    output = run("wikitongues", place)
    names = ["wikitongues-jf_00000", "wikitongues-jf_00001"]
    check_pieces(Index.open(place / "dump/wikitongues"), names, ["und"])
    assert "70.0" in next(x for x in output.splitlines() if x.startswith("wikitongues ")).split()
    assert dropped(place / "data/wikitongues/dropped.tsv") == []


def test_jesus_dramas_go_by_names_of_languages(recordings, tmp_path):
    place = tmp_path / "my dramas"
    audio = [recordings["fr"], recordings["eo"]]
    write(place / "downloads/jesus_dramas/0.parquet", audio, id=["0", "1"],
          language=["French", "Achi, Cubulco"])  # fmt: skip
    output = run("jesus_dramas", place)
    check_pieces(
        Index.open(place / "dump/jesus_dramas"),
        ["jesus_dramas-0", "jesus_dramas-1"],
        ["fra", "und"],
    )
    about = json.loads((place / "data/jesus_dramas/corpus.json").read_text())
    assert about["unknown_languages"] == {"Achi, Cubulco": 1}
    assert "became und: Achi, Cubulco" in output
