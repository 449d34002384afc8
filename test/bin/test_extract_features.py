"""The command: real audio files and a tiny checkpoint in, features out."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import soxr
import torch
import yaml
from safetensors.torch import save_file

from espnet2.bin.extract_features import main
from espnet2.tasks.ssl import SSLTask
from espnet2.utils.cli import run_main
from espnet2.utils.errors import CheckpointError, ConfigError, DataError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["new", "old"])
def folder(request, tmp_path):
    """FOLDER/xeus/{checkpoint.pth,config.yaml} of either layout."""
    return make_checkpoint(tmp_path, request.param)


@pytest.fixture
def one_folder(tmp_path):
    return make_checkpoint(tmp_path, "new")


def make_checkpoint(folder, layout):
    arrays = np.load(ROOT / f"test/golden/xeus_tiny_{layout}.npz")
    (folder / "xeus").mkdir()
    (folder / "xeus/config.yaml").write_text(yaml.safe_dump(json.loads(str(arrays["xeus/cfg"]))))
    state = {
        name.removeprefix("xeus/sd/"): torch.from_numpy(arrays[name])
        for name in arrays.files
        if name.startswith("xeus/sd/")
    }
    torch.save(state, folder / "xeus/checkpoint.pth")
    return folder


def record(folder):
    """Recordings of several rates, shapes and formats; returns id -> 16 kHz mono samples."""
    rng, expected = np.random.default_rng(0), {}
    (folder / "wav").mkdir()
    forms = [
        ("b", "wav", 16000, 1, "PCM_16"),
        ("a", "flac", 8000, 2, "PCM_16"),
        ("d", "wav", 44100, 1, "FLOAT"),
        ("c", "flac", 48000, 3, "PCM_24"),
    ]
    lines = []
    for utt_id, ending, rate_hz, channels, subtype in forms:
        audio = rng.normal(0, 0.1, (int(rate_hz * rng.uniform(0.3, 1.2)), channels)).clip(-1, 1)
        path = folder / "wav" / f"{utt_id}.{ending}"
        soundfile.write(path, audio, rate_hz, subtype=subtype)
        mono = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)
        expected[utt_id] = soxr.resample(mono, rate_hz, 16000, quality="HQ")
        lines.append(f"{utt_id} {path}\n")
    (folder / "wav.scp").write_text("".join(sorted(lines)))
    return expected


def run(folder, *options, wav_scp="wav.scp"):
    main(
        ["--checkpoint", f"{folder}/xeus/checkpoint.pth", "--wav_scp", f"{folder}/{wav_scp}",
         "--out", f"{folder}/out", *options]
    )  # fmt: skip


def encode_alone(folder, audio, **options):
    model, _ = SSLTask.build_model_from_file(None, folder / "xeus/checkpoint.pth")
    with torch.inference_mode():
        wave = torch.from_numpy(np.ascontiguousarray(audio))[None]
        out = model.encode(wave, torch.tensor([wave.shape[1]]), **options)
    return [state[0].numpy() for state in out.layers]


def assert_close(ours, theirs):
    assert ours.shape == theirs.shape
    assert ours.dtype == np.float32
    assert np.abs(ours - theirs).max() < 1e-5 * np.abs(theirs).max()


def test_an_npz_holds_what_encode_gives_for_the_recording_alone(folder, capsys):
    expected = record(folder)
    run(folder)
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "a.npz", "b.npz", "c.npz", "d.npz", "dropped.tsv",
    ]  # fmt: skip
    for utt_id, audio in expected.items():
        with np.load(folder / f"out/{utt_id}.npz") as file:
            theirs = encode_alone(folder, audio, use_final_output=False)[-1]
            assert_close(file["features"], theirs)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("in: 4 utts / 0.00 h -> out: 4 utts / 0.00 h; dropped: none")
    assert (folder / "out/dropped.tsv").read_text() == "utt_id\treason\tdetail\n"


def test_an_ark_is_read_by_kaldiio_through_a_sorted_scp(folder):
    expected = record(folder)
    run(folder, "--format", "ark", "--layer", "1", "--batch_seconds", "0.5")
    scp = (folder / "out/features.scp").read_text().splitlines()
    assert [line.split()[0] for line in scp] == ["a", "b", "c", "d"]
    read = kaldiio.load_scp(str(folder / "out/features.scp"))
    for utt_id, audio in expected.items():
        assert_close(read[utt_id], encode_alone(folder, audio)[0])


def test_all_layers_in_half_precision(one_folder):
    expected = record(one_folder)
    run(one_folder, "--layer", "all", "--dtype", "float16")
    for utt_id, audio in expected.items():
        theirs = np.stack(encode_alone(one_folder, audio, use_final_output=False))
        features = np.load(one_folder / f"out/{utt_id}.npz")["features"]
        assert features.dtype == np.float16
        np.testing.assert_allclose(features, theirs, rtol=1e-3, atol=1e-3)


def test_safetensors_and_a_config_elsewhere_give_the_same_as_the_pth(one_folder):
    audio = record(one_folder)["b"]
    state = torch.load(one_folder / "xeus/checkpoint.pth", weights_only=True)
    save_file(state, one_folder / "xeus.safetensors")
    (one_folder / "model.yaml").write_bytes((one_folder / "xeus/config.yaml").read_bytes())
    main(
        ["--checkpoint", f"{one_folder}/xeus.safetensors", "--config", f"{one_folder}/model.yaml",
         "--wav", f"{one_folder}/wav/b.wav", "--layer", "final", "--out", f"{one_folder}/out"]
    )  # fmt: skip
    features = np.load(one_folder / "out/b.npz")["features"]
    assert_close(features, encode_alone(one_folder, audio)[-1])


def test_segments_of_a_recording_become_utterances(one_folder):
    expected = record(one_folder)
    (one_folder / "segments").write_text("x1 b 0.05 0.2\nx2 b 0.1 -1\n")
    run(one_folder, "--segments", f"{one_folder}/segments")
    for utt_id, cut in (("x1", slice(800, 3200)), ("x2", slice(1600, None))):
        features = np.load(one_folder / f"out/{utt_id}.npz")["features"]
        audio = expected["b"][cut]
        assert_close(features, encode_alone(one_folder, audio, use_final_output=False)[-1])
    assert not (one_folder / "out/b.npz").exists()


def test_what_cannot_be_used_is_listed_with_its_reason(one_folder, capsys):
    record(one_folder)
    (one_folder / "wav/a.flac").write_text("no audio")
    soundfile.write(one_folder / "wav/b.wav", np.zeros(399), 16000)
    (one_folder / "wav/c.flac").unlink()
    (one_folder / "out").mkdir()
    np.savez(one_folder / "out/c.npz", features=np.zeros(1))  # of an earlier run
    run(one_folder)
    rows = [row.split("\t") for row in (one_folder / "out/dropped.tsv").read_text().splitlines()]
    assert [row[:2] for row in rows[1:]] == [
        ["a", "unreadable"], ["b", "too short"], ["c", "unreadable"],
    ]  # fmt: skip
    assert rows[3][2] == f"{one_folder}/wav/c.flac: No such file or directory"
    assert sorted(p.name for p in (one_folder / "out").iterdir()) == ["d.npz", "dropped.tsv"]
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("-> out: 1 utts / 0.00 h; dropped: too short 1, unreadable 2")


def test_nothing_usable_at_all_is_an_error_with_status_1(one_folder, capsys):
    (one_folder / "wav.scp").write_text(f"a {one_folder}/a.wav\n")
    with pytest.raises(SystemExit) as stop:
        run_main(lambda: run(one_folder))
    assert stop.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(
        f"error: none of the 1 utterances could be used; the first: a: {one_folder}/a.wav: "
        f"No such file or directory; see {one_folder}/out/dropped.tsv"
    )
    assert (one_folder / "out/dropped.tsv").read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--layer", "9"], ConfigError, "layer must be 1 to 3, last, final or all; got '9'"),
        (["--format", "ark", "--dtype", "float16"], ConfigError, "--dtype float16 needs --format"),
        (["--format", "ark", "--layer", "all"], ConfigError, "--layer all needs --format npz"),
        (["--config", "no.yaml"], ConfigError, "no.yaml: no such configuration file"),
        (["--checkpoint", "no.pth"], CheckpointError, "no.pth: no such checkpoint file"),
        (["--segments", "no"], DataError, "no: no such file; --segments names"),
    ],
)
def test_options_that_cannot_be_kept_are_refused_before_anything_is_written(
    one_folder, options, error, message
):
    record(one_folder)
    with pytest.raises(error, match=message):
        run(one_folder, *options, "--config", f"{one_folder}/xeus/config.yaml", *options)
    assert not (one_folder / "out").exists()


def test_segments_without_a_list_are_refused(one_folder):
    record(one_folder)
    wav = ["--checkpoint", "x.pth", "--wav", "a.wav", "--out", f"{one_folder}/out"]
    with pytest.raises(ConfigError, match="--segments cuts the recordings of a --wav_scp, not of"):
        main([*wav, "--segments", "segments"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_refused(one_folder):
    record(one_folder)
    with pytest.raises(ConfigError, match="device cuda: torch finds no CUDA device here; give cpu"):
        run(one_folder, "--device", "cuda")
    assert not (one_folder / "out").exists()


def test_a_list_needs_sense_and_a_batch_needs_seconds(one_folder, capsys):
    (one_folder / "wav.scp").write_text("a cat a.wav |\n")
    with pytest.raises(DataError, match="wav.scp:1: a is a command; only files are read"):
        run(one_folder)
    (one_folder / "wav.scp").write_text("a/b a.wav\n")
    with pytest.raises(DataError, match="utterance a/b: an id with '/' names no file"):
        run(one_folder)
    with pytest.raises(SystemExit) as stop:
        run(one_folder, "--batch_seconds", "0")
    assert stop.value.code == 2
    assert "--batch_seconds: must be above 0, got 0" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["npz", "ark"])
def test_a_killed_run_leaves_whole_files_only_and_can_be_repeated(one_folder, form):
    rng = np.random.default_rng(0)
    soundfile.write(one_folder / "a.wav", rng.normal(0, 0.1, 16000), 16000)
    ids = [f"u{number:03d}" for number in range(150)]
    (one_folder / "wav.scp").write_text("".join(f"{i} {one_folder}/a.wav\n" for i in ids))
    out = one_folder / "out"
    command = [
        sys.executable, "-m", "espnet2.bin.extract_features", "--checkpoint",
        one_folder / "xeus/checkpoint.pth", "--wav_scp", one_folder / "wav.scp", "--out", out,
        "--format", form, "--batch_seconds", "1",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    begun = {"npz": lambda: len(list(out.glob("u*.npz"))) > 2,
             "ark": lambda: any(p.stat().st_size for p in out.glob(".*.part"))}[form]  # fmt: skip
    while process.poll() is None and not begun():
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "dropped.tsv").exists()
    assert not (out / "features.ark").exists()
    assert not (out / "features.scp").exists()
    whole = [np.load(path)["features"] for path in out.glob("u*.npz")]
    assert all(x.shape == (49, 32) for x in whole)
    assert len(whole) < len(ids)
    run(one_folder, "--format", form)
    names = [f"{i}.npz" for i in ids] if form == "npz" else ["features.ark", "features.scp"]
    assert sorted(path.name for path in out.iterdir()) == sorted([*names, "dropped.tsv"])
