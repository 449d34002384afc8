"""`xeus transcribe` and `xeus lid`: recordings of any form and length through a trained cell."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_asr

from espnet2.asr.features import write_features
from espnet2.asr.vocabulary import split_language
from espnet2.bin import lid, transcribe
from espnet2.data.audio import load_audio
from espnet2.tasks import hearing
from espnet2.tasks.asr import ASRTask
from espnet2.train import finetune
from espnet2.utils.config import load_yaml, save_yaml
from espnet2.utils.errors import CheckpointError, ConfigError, DataError

ROOT = Path(__file__).resolve().parents[2]
LONGER = {"max_steps": 60, "valid_interval_steps": 60, "save_interval_steps": 60}
CELL = dataclasses.replace(tiny_asr.CELL, training={**tiny_asr.CELL.training, **LONGER})


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """(its folder, a cell, the export): the cell names the export as seen from the folder; wav/."""
    root = tmp_path_factory.mktemp("recipe")
    export = tiny_asr.make_export(root / "exp/ssl/export")
    source = tiny_asr.make_cell_data(root / "made")
    features = root / "exp/superb/random/features"
    for split in ("train", "dev", "test"):
        folder = features / f"10min_{split}"
        write_features(source.data_dir(split), CELL.encoder, export, CELL.features, "cpu", folder)
    cell = root / "exp/superb/random" / CELL.name
    finetune.run_cell(cell, source.data, features, export, CELL)
    settings = load_yaml(cell / "config.yaml")
    settings["data"]["export"] = "exp/ssl/export"
    save_yaml(cell / "config.yaml", settings)
    make_recordings(root / "wav")
    return root, cell, export


def make_recordings(folder):
    """The texts of the training data as tones, in several rates, shapes and formats."""
    folder.mkdir()
    forms = [("fra", "wav", 1, 1), ("spa", "flac", 2, 2), ("dan", "wav", 3, 3)]
    for language, ending, times, channels in forms:
        wave = tiny_asr.tone(tiny_asr.TEXTS[language])
        audio = np.stack([np.repeat(wave, times)] * channels, axis=1)
        soundfile.write(folder / f"{language}.{ending}", audio, 16000 * times)


def recordings(folder):
    return [str(path) for path in sorted((folder / "wav").iterdir())]


def directly(cell, export, waves):
    """What the Python door hears in waves at 16 kHz."""
    model, _ = ASRTask.build_model_from_file(model_file=cell, export=export)
    return model.transcribe(waves)


def test_files_of_any_form_are_heard_as_the_python_door_hears_their_audio(recipe, capsys):
    root, cell, export = recipe
    paths = recordings(root)
    expected = directly(cell, export, [load_audio(path) for path in paths])
    assert any(split_language(text)[1] for text in expected)
    transcribe.main(["--cell", str(cell), "--wav", *paths])
    captured = capsys.readouterr()
    texts = [split_language(text)[1] for text in expected]
    names = [Path(path).stem for path in paths]
    assert captured.out.splitlines() == [
        f"{name} {text}".rstrip() for name, text in zip(names, texts, strict=True)
    ]
    assert captured.err.splitlines()[-1].endswith("-> out: 3 utts / 0.00 h; dropped: none")


def test_a_line_of_json_has_the_language_and_the_times(recipe, tmp_path):
    root, cell, export = recipe
    paths, out = recordings(root), tmp_path / "heard.jsonl"
    words = ["--cell", str(cell), "--wav", *paths, "--out", str(out)]
    transcribe.main([*words, "--format", "jsonl"])
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    expected = directly(cell, export, [load_audio(path) for path in paths])
    assert [row["utt_id"] for row in rows] == ["dan", "fra", "spa"]
    assert [(row.get("language"), row["text"]) for row in rows] == [
        split_language(text) for text in expected
    ]
    seconds = [round(len(load_audio(path)) / 16000, 3) for path in paths]
    assert [row["duration_s"] for row in rows] == seconds
    assert all(row["parts"][0]["start_s"] == 0 for row in rows)
    assert (tmp_path / "heard.jsonl.dropped.tsv").read_text() == "utt_id\treason\tdetail\n"


@pytest.fixture(scope="module")
def long_recording(recipe, tmp_path_factory):
    """Three texts with half a second of silence between them, 16-bit; and where that begins."""
    silence, parts, begins = np.zeros(8000, np.float32), [], []
    for language in ("fra", "spa", "dan"):
        parts += [tiny_asr.tone(tiny_asr.TEXTS[language])]
        begins.append(sum(map(len, parts)))
        parts += [silence]
    path = tmp_path_factory.mktemp("long") / "long.wav"
    soundfile.write(path, np.concatenate(parts[:-1]), 16000)
    return path, begins[:-1]


def test_a_long_recording_is_cut_in_its_silences_and_loses_nothing(
    recipe, long_recording, tmp_path, monkeypatch
):
    given, transcribed = [], hearing.transcribed
    monkeypatch.setattr(
        hearing, "transcribed", lambda r, waves, s: given.extend(waves) or transcribed(r, waves, s)
    )
    _, cell, export = recipe
    path, silences = long_recording
    out = tmp_path / "long.jsonl"
    words = ["--cell", str(cell), "--wav", str(path), "--format", "jsonl", "--out", str(out)]
    transcribe.main([*words, "--max_s", "2.5"])
    found = json.loads(out.read_text())
    parts, audio = found["parts"], load_audio(str(path))
    assert np.array_equal(np.concatenate(given), audio)  # every sample, once and in order
    edges = [part["start_s"] for part in parts] + [parts[-1]["end_s"]]
    assert edges[0] == 0
    assert edges[-1] == found["duration_s"] == len(audio) / 16000
    assert all(a["end_s"] == b["start_s"] for a, b in zip(parts, parts[1:], strict=False))
    assert [0 <= edge - begin / 16000 <= 0.5 for edge, begin in
            zip(edges[1:-1], silences, strict=True)] == [True, True]  # fmt: skip
    waves = [audio[round(a * 16000) : round(b * 16000)] for a, b in
             zip(edges[:-1], edges[1:], strict=True)]  # fmt: skip
    heard = [split_language(text) for text in directly(cell, export, waves)]
    assert [(part["language"], part["text"]) for part in parts] == heard
    assert found["text"] == " ".join(text for _, text in heard if text)
    transcribe.main(words)
    assert len(json.loads(out.read_text())["parts"]) == 1  # 30 s and less are heard as a whole


def test_the_language_is_the_one_of_most_seconds(recipe, long_recording, tmp_path):
    root, cell, export = recipe
    out = tmp_path / "utt2lang"
    words = ["--cell", str(cell), "--wav", str(long_recording[0]), *recordings(root)]
    lid.main([*words, "--max_s", "2.5", "--out", str(out), "--format", "jsonl"])
    rows = {row["utt_id"]: row for row in map(json.loads, out.read_text().splitlines())}
    for row in rows.values():
        seconds = row["seconds_by_language"]
        assert list(row) == ["utt_id", "duration_s", "language", "seconds_by_language"]
        assert seconds[row["language"]] == max(seconds.values())
        assert sum(seconds.values()) <= row["duration_s"] + 1e-6
    lid.main([*words, "--max_s", "2.5", "--out", str(out)])
    assert out.read_text().splitlines() == [f"{key} {rows[key]['language']}" for key in rows]
    dropped = (tmp_path / "utt2lang.dropped.tsv").read_text().splitlines()[1:]
    assert len(rows) + len(dropped) == 4
    assert all(line.split("\t")[1] == "no language" for line in dropped)


def test_what_cannot_be_heard_is_dropped_and_nothing_at_all_is_an_error(recipe, tmp_path):
    root, cell, _ = recipe
    (tmp_path / "bad.wav").write_text("no audio")
    out = tmp_path / "text"
    words = ["--cell", str(cell), "--out", str(out), "--wav"]
    transcribe.main([*words, str(tmp_path / "bad.wav"), recordings(root)[0]])
    assert [line.split()[0] for line in out.read_text().splitlines()] == ["dan"]
    [row] = (tmp_path / "text.dropped.tsv").read_text().splitlines()[1:]
    assert row.startswith(f"bad\tunreadable\t{tmp_path}/bad.wav: ")
    with pytest.raises(DataError, match="none of the 1 utterances could be used; the first: bad"):
        transcribe.main([*words, str(tmp_path / "bad.wav")])


def test_cells_that_cannot_answer_are_refused(recipe, tmp_path):
    root, cell, _ = recipe
    wav = ["--wav", recordings(root)[0]]
    with pytest.raises(ConfigError, match=r"no such folder; give exp/superb/<encoder>/<cell>"):
        lid.main(["--cell", str(tmp_path / "no"), *wav])
    other = tmp_path / "cell"
    shutil.copytree(cell, other)
    settings = load_yaml(other / "config.yaml")
    for task, command, message in (
        ("multi", lid, "was trained on task multi; give one of lid or joint"),
        ("lid", transcribe, "was trained on task lid; give one of mono or multi or joint"),
    ):
        settings["cell"]["task"] = task
        save_yaml(other / "config.yaml", settings)
        with pytest.raises(ConfigError, match=message):
            command.main(["--cell", str(other), *wav])
    (other / "model.pth").unlink()
    settings["cell"]["task"] = "joint"
    save_yaml(other / "config.yaml", settings)
    with pytest.raises(CheckpointError, match="holds no model.pth: the cell is not trained"):
        transcribe.main(["--cell", str(other), *wav])
    with pytest.raises(ConfigError, match="--max_s must be at least 1, got 0.5"):
        transcribe.main(["--cell", str(cell), *wav, "--max_s", "0.5"])


def test_as_a_process_text_goes_to_stdout_and_errors_are_one_line(recipe):
    root, cell, _ = recipe
    command = [sys.executable, "-m", "espnet2.bin.xeus", "transcribe", "--cell", str(cell)]
    words = ["--wav", recordings(root)[0]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = {"capture_output": True, "text": True, "cwd": ROOT, "env": environment, "check": False}
    result = subprocess.run([*command, *words], **run)
    assert result.returncode == 0
    assert result.stdout.startswith("dan")
    assert result.stdout.count("\n") == 1
    assert len(result.stderr.splitlines()) == 2  # no bar where there is no terminal
    result = subprocess.run([*command, "--wav", "none.wav"], **run)
    assert result.returncode == 1
    assert result.stderr == (
        "xeus transcribe: error: none of the 1 utterances could be used; the first: none: "
        "none.wav: No such file or directory\n"
    )
