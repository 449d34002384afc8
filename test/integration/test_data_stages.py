"""The data stages on minutes of speech: one worker or three, killed or not, the same bytes.

Three corpora: one that stage 1 makes, a folder of long recordings that are cut at pauses, and a
Hugging Face data set whose audio stays in its Parquet files.
"""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from espnet2.data.corpora.synthetic import SpokenLine, speak

ROOT = Path(__file__).resolve().parents[2]
FAKE_SLURM = ROOT / "test/utils/fake_slurm.py"
RATE_HZ = 22050  # of the synthesizer
STAGES = (1, 2, 3, 6, 7)
KILLS = (1, 2, 2, 3, 6, 7)  # stage 2 has many units: it is killed again on the way
MARKERS = {1: "data/.*.done", 2: "dump/*/shards/.*.done", 3: "dump/.combine.done",
           6: "dump/*/.bank.done", 7: "dump/*/plan/.plan.done"}  # fmt: skip
UNFINISHED = (".part", ".work", ".merge", ".combine", ".plan")  # ends of names while work goes on

CONF = """
seed: 1
data:
  real: never
  synthetic:
    {train_voices: [m1, f1], dev_voices: [m6], test_voices: [m4], train_utterances: 12,
     dev_utterances: 2, test_utterances: 4, train_minutes: 1.0}
format: {shard_hours: 0.005, max_drop_ratio: 0.5, vad_corpora: [talks], vad: {merge_gap_s: 0.2}}
combine: {valid_ratio: 0.1}
augment: {num_coloured: 2, num_babble: 2, num_rirs: 4, noise_s: 2.0}
plan: {batch_bins: 160000, num_buckets: 3, language_temperature: 0.5}
"""
CORPORA = """
corpora:
  espeak: {kind: espeak, role: unseen_voice, languages: {eo: epo, fr: fra}}
  talks: {kind: folder, path: PLACE/talks}
  hub: {kind: hf_parquet, path: PLACE/hub}
"""

pytestmark = pytest.mark.integration


def spoken(folder, code, text):
    """Utterances of several voices, as arrays."""
    lines = [
        SpokenLine(
            utt_id=f"{voice}{i}", voice=f"{code}+{voice}", text=f"{text} {i}.",
            rate_wpm=170, pitch=50, seed=i,
        )
        for voice in ("m1", "f2", "m3")
        for i in range(4)
    ]  # fmt: skip
    speak(lines, folder)
    return [soundfile.read(folder / f"{line.utt_id}.wav")[0] for line in lines]


def write_sources(place):
    """Long recordings with pauses, and a Parquet file with a row that has no audio."""
    pause = np.zeros(RATE_HZ)
    for language, code, text in (("fra", "fr", "Une phrase"), ("spa", "es", "Otra frase larga")):
        utterances = spoken(place / code, code, text)
        (place / "talks" / language).mkdir(parents=True)
        for i in range(3):
            talk = [part for audio in utterances[i::3] for part in (audio, pause)]
            soundfile.write(place / f"talks/{language}/talk{i}.flac", np.concatenate(talk), RATE_HZ)
    rows = [(f"u{i}", audio) for i, audio in enumerate(utterances)]
    table = [
        {"id": name, "lang": "es", "audio": {"bytes": flac(audio), "path": None}}
        for name, audio in rows
    ]
    table.append({"id": "nothing", "lang": "es", "audio": {"bytes": None, "path": None}})
    (place / "hub").mkdir()
    pq.write_table(pa.Table.from_pylist(table), place / "hub/train.parquet", row_group_size=4)


def flac(audio):
    buffer = io.BytesIO()
    soundfile.write(buffer, audio[::-1], RATE_HZ, format="FLAC")  # backwards: not those of talks
    return buffer.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A recipe's folder with sources that no stage writes."""
    place = tmp_path_factory.mktemp("data stages") / "my recipe"
    place.mkdir()
    write_sources(place)
    (place / "tiny.yaml").write_text(CONF)
    (place / "corpora.yaml").write_text(CORPORA.replace("PLACE", str(place)))
    return place


def start(place, stage, nj, *options, **environment):
    """The driver on one stage, in a process group of its own."""
    command = [
        str(ROOT / "egs2/TEMPLATE/ssl1/ssl.sh"),
        "--recipe_dir", str(place), "--conf", str(place / "tiny.yaml"),
        "--corpora", str(place / "corpora.yaml"), "--data", str(place / "superb"),
        "--stage", str(stage), "--stop_stage", str(stage), "--nj", str(nj), *options,
    ]  # fmt: skip
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, env={**os.environ, **environment},
    )  # fmt: skip


def finish(place, stage, nj, *options, **environment):
    """Run a stage to its end; returns what it said."""
    process = start(place, stage, nj, *options, **environment)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def kill_in_the_middle(place, stage):
    """Start a stage and kill all of it while a file of its own is half-written."""
    for _ in range(5):
        process = start(place, stage, nj=2)
        while process.poll() is None:
            if is_writing(place):
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                return
        process.communicate()
        for marker in place.glob(MARKERS[stage]):  # too fast for us: once more
            marker.unlink()
    pytest.fail(f"stage {stage} was never seen at work")


def is_writing(place):
    """Whether some file or folder that is not finished is there."""
    for folder in ("data", "dump"):
        for _, folders, files in os.walk(place / folder):
            if any(name.endswith(UNFINISHED) for name in (*folders, *files)):
                return True
    return False


def fresh(place):
    """Take away what earlier runs wrote."""
    for name in ("data", "dump", "log", "exp", "downloads", "superb"):
        shutil.rmtree(place / name, ignore_errors=True)


def contents(place):
    """Path -> digest of every file under data and dump.

    Stage 1 writes the audio of ``espeak`` anew, so the time of its change is another one; it is
    part of the fingerprint of that corpus's shards, and of nothing else.
    """
    found = {}
    for path in sorted(p for name in ("data", "dump") for p in (place / name).rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path.match("dump/espeak/shards/.*.done"):
                data = json.dumps({**json.loads(data), "fingerprint": None}).encode()
            found[str(path.relative_to(place))] = hashlib.sha256(data).hexdigest()
    return found


@pytest.fixture(scope="module")
def plain(place):
    """What one worker writes without being disturbed."""
    output = [finish(place, stage, nj=1) for stage in STAGES]
    return contents(place), "".join(output)


def test_the_stages_meet_what_this_test_is_about(place, plain):
    found, output = plain
    shards = {str(Path(name).parent) for name in found if name.endswith(".ark")}
    assert shards == {f"dump/{corpus}/shards" for corpus in ("espeak", "hub", "talks")}
    assert sum(name.endswith(".ark") for name in found) > 6
    assert "hub-nothing\tunreadable" in (place / "dump/hub/dropped.tsv").read_text()
    wav = (place / "dump/talks/wav.scp").read_text()
    assert "talks-fra-talk0-0000" in wav
    assert "train" in output
    assert {f"dump/train/plan/{name}" for name in ("plan.json", "rows.npy")} <= set(found)
    assert {"dump/noise/bank.f32", "dump/rirs/bank.f32"} <= set(found)


def test_three_workers_write_the_same_bytes(place, plain):
    fresh(place)
    for stage in STAGES:
        finish(place, stage, nj=3)
    assert differing(contents(place), plain[0]) == []


def test_killed_in_the_middle_of_every_stage_it_ends_with_the_same_bytes(place, plain):
    fresh(place)
    for stage in STAGES:
        for _ in range(KILLS.count(stage)):
            kill_in_the_middle(place, stage)
        finish(place, stage, nj=2)
    assert differing(contents(place), plain[0]) == []


def test_a_last_run_finds_nothing_to_do(place, plain):
    for stage in STAGES:
        assert "up to date" in finish(place, stage, nj=2)
    assert differing(contents(place), plain[0]) == []


def test_jobs_of_a_cluster_write_the_same_bytes(place, plain):
    commands, state = place / "bin", place / "slurm"
    state.mkdir()
    subprocess.run([sys.executable, FAKE_SLURM, "install", commands], check=True)
    (place / "mine.yaml").write_text("cpu: {timeout_min: 30}")
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    for folder in place.glob("dump/*/plan"):
        shutil.rmtree(folder)
    output = finish(
        place, 7, 2, "--cluster", str(place / "mine.yaml"), PATH=path, FAKE_SLURM=str(state)
    )
    assert "plan: SLURM job 100: units 2, jobs 2, at most 2 jobs at a time" in output
    assert differing(contents(place), plain[0]) == []


def differing(one, other):
    """Files that only one of two runs has, or that differ."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
