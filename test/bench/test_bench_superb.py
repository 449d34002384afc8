"""``bench superb``: one set and one encoder for both sides, commands that train, a whole run."""

import argparse
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from espnet2.asr.data import bucket_frames, fill_batches
from espnet2.asr.encoders import build_encoder
from espnet2.asr.features import read_wave
from espnet2.asr.vocabulary import Vocabulary
from espnet2.bench.data_audio import spoken
from espnet2.bench.model import PEER_PYTHON
from espnet2.bench.superb_commands import (
    ACCUM_GRAD,
    WAYS,
    feature_unit,
    our_command,
    our_config,
    peer_command,
    peer_config,
)
from espnet2.bench.superb_data import FULL, TINY, encoder_section, make_set, texts
from espnet2.bench.superb_probe import in_micro_batches, make_features, refuse_unlike
from espnet2.bench.train_espnet import PEER
from espnet2.bench.train_sides import Run, Turn
from espnet2.bin.bench import main
from espnet2.data.frames import num_frames
from espnet2.data.kaldi import read_kaldi
from espnet2.train.cells import cells, loop_config
from espnet2.utils.config import load_yaml
from espnet2.utils.errors import ConfigError
from espnet2.utils.files import read_json
from espnet2.utils.work import call

BATCHES = 4


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    """Four micro-batches of synthetic voices for a tiny encoder."""
    folder = tmp_path_factory.mktemp("dump")
    sources = spoken(folder / "spoken", 16)
    (folder / "voices").mkdir()
    lines = [f"utt{n} {next(sources)}\n" for n in range(4)]
    (folder / "voices" / "wav.scp").write_text("".join(lines))
    args = argparse.Namespace(dump=folder)
    return make_set(args, tmp_path_factory.mktemp("set") / "s", TINY, BATCHES)


def done(unit, **changes):
    """Do a unit in this process."""
    kwargs = json.loads(json.dumps({**unit.kwargs, **changes}, default=str))
    call(SimpleNamespace(entry=unit.entry, kwargs=kwargs))


def test_both_sides_read_the_same_files(audio):
    utterances = read_kaldi(audio.train)
    shapes = (audio.folder / "speech_shape").read_text().splitlines()
    assert len(utterances) == audio.utterances == BATCHES * TINY.encoder.batch
    assert shapes == [f"{u.utt_id} 16000" for u in utterances]
    assert all(read_wave(u).shape == (16_000,) for u in utterances)
    command = peer_command(audio)
    assert f"{audio.train}/wav.scp,speech,kaldi_ark" in command
    assert f"{audio.train}/text,text,text" in command
    config = our_config(audio, WAYS["cached"])
    assert audio.train == audio.data / config.tracks[0] / "train"


def test_both_sides_learn_the_same_tokens(audio):
    tokens = peer_config(audio)["token_list"]
    assert tokens == [*audio.tokens, "<sos/eos>"]
    assert tokens[2] == "<space>"
    ours = Vocabulary(audio.tokens)
    for utterance in read_kaldi(audio.train):
        words = ["<space>" if c == " " else c for c in utterance.text]  # ESPnet's char tokeniser
        assert ours.encode(utterance.text) == [tokens.index(word) for word in words]
        assert len(words) == TINY.text


@pytest.mark.parametrize("size", [FULL, TINY])
def test_texts_have_the_characters_of_their_size(size):
    lines = texts(size, 2000)
    assert {len(line) for line in lines} == {size.text}
    assert len(set("".join(lines))) == size.characters
    assert not any(line[0] == " " or line[-1] == " " or "  " in line for line in lines)


@pytest.mark.parametrize("size", [FULL, TINY])
def test_a_micro_batch_of_either_side_has_as_many_utterances(audio, size):
    with_size = SimpleNamespace(**{**vars(audio), "size": size, "tokens": ["<blank>", "<unk>"],
                                   "checkpoint": audio.checkpoint})  # fmt: skip
    config, count = our_config(with_size, WAYS["cached"]), 4 * size.encoder.batch
    frames = np.full(count, num_frames(round(16_000 * size.encoder.audio_s)))
    padded = bucket_frames(frames, config.batches.bucket_s)
    batches = fill_batches(np.arange(count), padded, config.batches.batch_s)
    assert [len(batch) for batch in batches] == 4 * [size.encoder.batch]
    assert peer_config(with_size)["batch_size"] == size.encoder.batch


@pytest.mark.parametrize("way", WAYS)
def test_both_sides_train_the_probe_alike(audio, way):
    [cell] = cells(our_config(audio, WAYS[way]))
    ours, peer = loop_config(cell, valid_batches=1), peer_config(audio)
    assert peer["optim_conf"] == {
        "lr": ours.optim_conf.lr, "weight_decay": ours.optim_conf.weight_decay,
    }  # fmt: skip
    assert (peer["optim"], ours.optim, ours.scheduler) == ("adam", "adam", None)
    assert (peer["grad_clip"], peer["accum_grad"]) == (ours.grad_clip, ours.accum_grad)
    assert peer["train_dtype"] == ours.train_dtype == "float32"
    assert peer["log_interval"] == ours.accum_grad * ours.log_interval_steps
    assert peer["num_workers"] == ours.num_workers == 1
    assert ours.watchdog_s > 24 * 3600  # the other sides' turns take as long as they take
    assert cell.probe == TINY.probe
    assert peer["encoder_conf"]["output_size"] == TINY.probe.output_size


def test_both_sides_load_one_encoder_that_training_mode_does_not_change(audio):
    peer, saved = peer_config(audio), load_yaml(audio.export / "config.yaml")
    assert peer["frontend_conf"]["frontend_conf"] == {"path_or_url": str(audio.checkpoint)}
    assert peer["freeze_param"] == ["frontend.upstream"]
    rates = [value for key, value in saved["encoder_conf"].items() if key.endswith("dropout_rate")]
    assert rates == [0.0] * 3
    assert saved["preencoder_conf"]["dropout"] == 0.0
    [cell] = cells(our_config(audio, WAYS["live"]))
    encoder = build_encoder(cell.encoder, audio.export, "cpu", "float32")
    wave = read_wave(read_kaldi(audio.train)[0])
    [features] = encoder.features([wave])
    assert features.shape == (TINY.encoder.blocks + 1, 49, TINY.encoder.width)
    assert encoder_section(TINY.encoder)["encoder_conf"]["num_blocks"] == TINY.encoder.blocks


@pytest.mark.parametrize("way", ["cached", "live"])
def test_our_commands_train(audio, way):
    for split in ("train", "dev"):
        done(feature_unit(audio, way, split))
    command, out = our_command(audio, way)
    with Run(way, Path(sys.executable), command, out) as run:
        first, second = run.next_interval(), run.next_interval()
    assert (first.step, second.step) == (1, 2)
    assert first.at < second.at
    about = read_json(audio.folder / way / "encoder/features/10min_train/features.json")
    assert bool(about["chunks"]) == (way == "cached")


def test_features_that_are_kept_where_the_encoder_should_run_are_refused(audio):
    for split in ("train", "dev"):
        out = audio.folder / "live_bf16/encoder/features" / f"10min_{split}"
        done(feature_unit(audio, "cached", split), out=out)
    with pytest.raises(ConfigError, match="10min_train: features are kept"):
        our_command(audio, "live_bf16")


def test_a_unit_that_fails_is_told_with_its_last_words(audio, monkeypatch):
    monkeypatch.setitem(WAYS, "nowhere", WAYS["cached"])
    folder = audio.folder / "nowhere/encoder/features"
    folder.mkdir(parents=True)
    (folder / "10min_dev").write_text("a file where a folder belongs")
    with pytest.raises(ConfigError, match="^features_encoder_10min_dev: training failed: .+"):
        make_features(audio, "nowhere")


def test_models_of_different_size_are_not_compared_by_their_probes(audio):
    child = """if True:
        print("    Total Number of model parameters: 62.00 M")
        print("    Number of trainable parameters: 12.3 K (0.4%)")
        print("1epoch:train:1-4batch: iter_time=0.1, train_time=1.0", flush=True)
        input()
    """
    with Run("peer", Path(sys.executable), ["-c", child], None) as run:
        run.next_interval()
        assert (run.parameters, run.trainable) == (62e6, 12.3e3)
        with pytest.raises(ConfigError, match=r"different probes .* and about 12,300 parameters"):
            refuse_unlike(audio, run)


def test_steps_and_waits_are_told_by_micro_batch():
    turn = Turn(seconds=8.0, steps=2, data_wait=0.05, cpu_s=8.0)
    ours, peer = in_micro_batches("cached", turn), in_micro_batches(PEER, turn)
    assert (ours.steps, ours.data_wait) == (2 * ACCUM_GRAD, 0.05)
    assert (peer.steps, peer.data_wait) == (2, pytest.approx(0.05 * ACCUM_GRAD))


@pytest.mark.peer
@pytest.mark.skipif(not PEER_PYTHON.is_file(), reason="no tools/espnet_venv")
def test_a_run_of_bench_superb_prints_its_table_and_saves_it(tmp_path, capsys):
    record = tmp_path / "record.md"
    words = ["superb", "--tiny", "--rounds", "1", "--save", str(record)]
    assert main([*words, "--scratch", str(tmp_path / "scratch")]) == 0
    text = capsys.readouterr().out
    assert record.read_text() == text
    assert list((tmp_path / "scratch").iterdir()) == []
    [title] = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert re.fullmatch(
        r"ML-SUPERB's probe beside espnet [\d.]+, tiny: training, one CPU thread", title
    )
    row = r"^\| (.*): micro-batches a second \| ([\d.]+) \| ([\d.]+) \|"
    speeds = re.findall(row, text, re.MULTILINE)
    assert [what for what, *_ in speeds][:2] == ["features kept", "encoder in each step"]
    assert all(float(ours) > 0 and float(peer) > 0 for _, ours, peer in speeds)
