"""`xeus tokens`: what stage 5 writes for a set, from recordings that stand in no index."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_teachers import save_xeus
from tiny_tokens import make_set

from espnet2.bin.tokens import main
from espnet2.data.labels import labels_file
from espnet2.data.shards import Record
from espnet2.tokens.assign import label_shard
from espnet2.tokens.config import TokensConfig
from espnet2.tokens.finish import finish_labels
from espnet2.tokens.kmeans import fit_codebook
from espnet2.tokens.text import export_text
from espnet2.utils.config import from_dict
from espnet2.utils.errors import ConfigError, DataError

ROOT = Path(__file__).resolve().parents[2]
LENGTHS = (16000, 5200, 400, 9000)


@pytest.fixture(scope="module", params=["mfcc", "xeus"])
def labelled(request, tmp_path_factory):
    """(folder, index, text): a recipe's folder, its set, and stage 5's labels as text.

    Made by what the units of stages 4 and 5 run; paths in it are relative to the folder.
    """
    folder = tmp_path_factory.mktemp(request.param)
    index, here = make_set(folder, lengths=LENGTHS), Path.cwd()
    settings = {"num_clusters": 5, "kmeans_iterations": 3, "teacher": request.param}
    if request.param == "xeus":
        save_xeus(folder / "model")
        settings["teacher_conf"] = {"checkpoint": "model/model.pth", "layer": 2}
    config = from_dict(TokensConfig, settings, "tokens")
    book, train, labels = (Path(name) for name in ("exp/tokens/toy", "train", "train/labels/toy"))
    os.chdir(folder)
    try:
        fit_codebook(train, book, config, 1, "cpu")
        for shard in index.each_shard():
            rows = (shard.rows.start, shard.rows.stop)
            out = labels_file(labels, shard.name)
            label_shard(train, shard.name, rows, book, out, config, "cpu")
        finish_labels(train, labels, book, max_dead_ratio=1.0)
        export_text(train, labels, Path("labels.txt"))
    finally:
        os.chdir(here)
    return folder, index, (folder / "labels.txt").read_text()


def shard_records(folder, index):
    """A wav.scp that points into the shards."""
    table = index.table.to_pylist()
    lines = [
        f"{row['utt_id']} {folder / row['shard']}:"
        f"{Record(row['offset'], row['nbytes']).kaldi_offset}\n"
        for row in table
    ]
    (folder / "wav.scp").write_text("".join(sorted(lines)))
    return folder / "wav.scp"


def wave_files(folder, index):
    """A file an utterance, of other forms that hold the same samples."""
    (folder / "wav").mkdir(exist_ok=True)
    forms = [("wav", "PCM_16"), ("flac", "PCM_16"), ("wav", "FLOAT"), ("flac", "PCM_24")]
    paths = []
    for row, (ending, subtype) in enumerate(forms):
        audio = index.audio(row)
        stereo = np.stack([audio, audio], axis=1) if row % 2 else audio
        paths.append(folder / f"wav/{index.utt_ids[row]}.{ending}")
        soundfile.write(paths[-1], stereo, 16000, subtype=subtype)
    return paths


def test_recordings_get_the_bits_that_stage_5_gave_them(labelled, tmp_path, capsys):
    folder, index, text = labelled
    book = ["--codebook", str(folder / "exp/tokens/toy")]
    main([*book, "--wav_scp", str(shard_records(folder, index)), "--out", f"{tmp_path}/a.txt"])
    assert (tmp_path / "a.txt").read_text() == text
    assert (tmp_path / "a.txt.dropped.tsv").read_text() == "utt_id\treason\tdetail\n"
    main([*book, "--wav", *map(str, wave_files(folder, index)), "--batch_seconds", "0.5"])
    captured = capsys.readouterr()
    assert captured.out == text
    assert captured.err.splitlines()[-1].endswith("-> out: 4 utts / 0.00 h; dropped: none")


def test_what_cannot_be_labelled_is_a_line_on_stderr(labelled, tmp_path, capsys):
    folder, _, _ = labelled
    soundfile.write(tmp_path / "short.wav", np.zeros(399), 16000)
    soundfile.write(tmp_path / "good.wav", np.zeros(48000), 48000)
    (tmp_path / "bad.flac").write_text("no audio")
    paths = [str(tmp_path / name) for name in ("short.wav", "good.wav", "bad.flac")]
    main(["--codebook", str(folder / "exp/tokens/toy"), "--wav", *paths])
    captured = capsys.readouterr()
    [line] = captured.out.splitlines()
    assert [line.split()[0], len(line.split())] == ["good", 50]
    assert f"dropped bad: unreadable: {paths[2]}: " in captured.err
    assert "dropped short: too short: 399 samples at 16 kHz; at least 400 make" in captured.err
    with pytest.raises(DataError, match="none of the 1 utterances could be used; the first: bad: "):
        main(["--codebook", str(folder / "exp/tokens/toy"), "--wav", paths[2]])


def test_a_teacher_that_moved_is_named_anew_and_another_one_refused(tmp_path, labelled):
    folder, index, text = labelled
    book = ["--codebook", str(folder / "exp/tokens/toy")]
    scp = ["--wav_scp", str(shard_records(folder, index)), "--out", str(tmp_path / "out.txt")]
    if "mfcc" in str(folder.name):
        with pytest.raises(ConfigError, match="--checkpoint: teacher mfcc of .* has no weights"):
            main([*book, *scp, "--checkpoint", "x.pth"])
        return
    save_xeus(tmp_path / "same")
    main([*book, *scp, "--checkpoint", str(tmp_path / "same/model.pth")])
    assert (tmp_path / "out.txt").read_text() == text
    save_xeus(tmp_path / "other", scale=2.0)
    with pytest.raises(ConfigError, match="codebook belongs to another teacher: checkpoint_sha256"):
        main([*book, *scp, "--checkpoint", str(tmp_path / "other/model.pth")])


def test_a_codebook_without_its_story_is_refused(labelled, tmp_path):
    folder, _, _ = labelled
    book = tmp_path / "book"
    book.mkdir()
    with pytest.raises(DataError, match="book: no codebook.safetensors; run the kmeans stage"):
        main(["--codebook", str(book), "--wav", "a.wav"])
    (book / "codebook.safetensors").write_bytes(
        (folder / "exp/tokens/toy/codebook.safetensors").read_bytes()
    )
    with pytest.raises(DataError, match=r"codebook.json: no such file; it names the codebook's"):
        main(["--codebook", str(book), "--wav", "a.wav"])
    (book / "codebook.json").write_text(json.dumps({"sha256": "x"}))
    with pytest.raises(DataError, match="names no teacher under config"):
        main(["--codebook", str(book), "--wav", "a.wav"])


def test_a_reader_who_has_enough_ends_the_command_quietly(labelled):
    folder, index, _ = labelled
    words = [
        "--codebook",
        f"{folder}/exp/tokens/toy",
        "--wav_scp",
        str(shard_records(folder, index)),
    ]
    command = [sys.executable, "-m", "espnet2.bin.xeus", "tokens", *words]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141
