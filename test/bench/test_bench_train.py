"""``bench train``: one set and one model for both sides, our side of it, and a whole run."""

import argparse
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from espnet2.bench.data_audio import spoken
from espnet2.bench.model import PEER_PYTHON
from espnet2.bench.sides import Worker
from espnet2.bench.train import PARTS, add_options
from espnet2.bench.train_data import (
    TAG,
    TINY,
    make_set,
    our_command,
    our_section,
    peer_command,
    peer_config,
)
from espnet2.bench.train_espnet import (
    peer_name,
    refuse_unlike,
)
from espnet2.bench.train_resume import SIDE, WAYS
from espnet2.bench.train_sides import Run
from espnet2.bin.bench import main
from espnet2.data.index import Index
from espnet2.data.labels import LabelStore
from espnet2.data.plan import Plan
from espnet2.ssl.config import SSLModelConfig
from espnet2.ssl.factory import build_model
from espnet2.train.checkpoint import load_tensors, saved_steps, step_path
from espnet2.train.pretrain import split_options
from espnet2.utils.config import load_yaml
from espnet2.utils.errors import ConfigError

BATCHES = 4


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    """Four batches of synthetic voices for a tiny model."""
    folder = tmp_path_factory.mktemp("dump")
    sources = spoken(folder / "spoken", 16)
    (folder / "voices").mkdir()
    lines = [f"utt{n} {next(sources)}\n" for n in range(4)]
    (folder / "voices" / "wav.scp").write_text("".join(lines))
    return make_set(
        argparse.Namespace(dump=folder), tmp_path_factory.mktemp("set") / "s", TINY, BATCHES
    )


def test_everything_is_measured_unless_a_part_is_named():
    parser = argparse.ArgumentParser()
    add_options(parser)
    assert parser.parse_args([]).only is None
    assert parser.parse_args(["--only", "ranks"]).only == ["ranks"]
    assert list(PARTS) == ["espnet", "resume", "ranks"]


def test_both_sides_read_the_same_audio_and_labels(audio):
    index = Index.open(audio.dump / "train")
    labels = LabelStore.open(index, audio.dump / "train" / "labels" / TAG)
    texts = [line.split() for line in (audio.folder / "text").read_text().splitlines()]
    shapes = (audio.folder / "speech_shape").read_text().splitlines()
    scp = (audio.folder / "wav.scp").read_text().splitlines()
    tokens = (audio.folder / "tokens.txt").read_text().splitlines()
    assert len(index) == audio.utterances == len(texts) == len(scp) == BATCHES * TINY.batch
    for row, (utt_id, *ids) in enumerate(texts):
        assert utt_id == index.utt_ids[row] == scp[row].split()[0]
        assert [tokens.index(word) for word in ids] == labels.labels(row).tolist()
        assert shapes[row] == f"{utt_id} {index.num_samples[row]}"
        ark, offset = scp[row].split()[1].rsplit(":", 1)
        assert ark == str(audio.dump / index.shards[row])
        assert int(offset) < int(index.offsets[row]) + 1  # before the record's own header


def test_a_step_of_either_side_has_as_many_samples(audio):
    lengths = np.asarray(Index.open(audio.dump / "train").num_samples)
    assert set(lengths) == {16_000}
    planned = Plan.open(audio.dump / "train" / "plan").batch(0)
    config = peer_config(audio, 2, is_augmented=False)
    assert len(planned.rows) * planned.num_samples == config["batch_bins"] == audio.batch_bins


def test_both_sides_train_alike(audio):
    _, ours, mix = split_options(our_section(TINY))
    peer = peer_config(audio, 2, is_augmented=True)
    assert peer["optim_conf"] == {"lr": ours.optim_conf.lr}
    assert peer["scheduler_conf"]["warmup_steps"] == ours.schedule().warmup_steps
    assert (peer["grad_clip"], peer["accum_grad"]) == (ours.grad_clip, ours.accum_grad)
    assert peer["train_dtype"] == ours.train_dtype == "float32"
    assert peer["num_workers"] == ours.num_workers == 1
    collate = peer["collate_fn_conf"]
    assert collate["noise_db_range"] == "{:g}_{:g}".format(*mix.noise_snr_db)
    assert 1 - collate["dynamic_mixing_prob"] == mix.speech_share
    assert ours.valid_interval_steps == 0


def test_our_recipe_and_the_peers_configuration_are_one_model(audio):
    ours = SSLModelConfig.from_espnet(our_section(TINY))
    peer = SSLModelConfig.from_espnet(peer_config(audio, 2, is_augmented=False))
    assert ours == peer


def test_the_peers_command_is_its_recipes(audio):
    command, _ = peer_command(audio, "peer_words", 2, is_augmented=False)
    assert command[:2] == ["-m", "espnet2.bin.ssl_train"]
    assert f"{audio.folder}/wav.scp,speech,kaldi_ark" in command
    assert f"{audio.folder}/text,text,text" in command
    assert load_yaml(Path(command[3]))["log_interval"] == 2


def test_models_of_different_size_are_not_compared(audio):
    model = build_model(SSLModelConfig.from_espnet(our_section(TINY)))
    count = sum(parameter.numel() for parameter in model.parameters())
    refuse_unlike(audio, SimpleNamespace(parameters=round(count, -2)))  # as it is printed
    for other in (1.1 * count, None):
        with pytest.raises(ConfigError, match=rf"different models .* {count:,} and about "):
            refuse_unlike(audio, SimpleNamespace(parameters=other))


def test_a_checkpoint_is_the_same_however_it_was_written(audio, tmp_path):
    found = {}
    with Worker(Path(sys.executable), True, tmp_path / "log", SIDE) as side:
        side.ask("open", dump=str(audio.dump), tag=TAG, section=our_section(TINY),
                 exp=str(tmp_path / "exp"))  # fmt: skip
        for way in WAYS:
            answer = side.ask("steps", way=way, count=3)
            assert 0 <= answer["held_s"] < answer["loop_s"] <= answer["written_s"]
            assert (answer["held_s"] > 0) == (way != "none")
            found[way] = saved_steps(tmp_path / "exp" / "checkpoints")
        size = side.ask("size")["bytes"]
    assert found == {"none": [], "inline": [6], "thread": [6, 9]}
    states = [load_tensors(step_path(tmp_path / "exp" / "checkpoints", step)) for step in (6, 9)]
    assert states[0].keys() == states[1].keys()
    assert [state["step"] for state in states] == [6, 9]
    assert size == step_path(tmp_path / "exp" / "checkpoints", 9).stat().st_size


def test_our_command_trains(audio):
    changes = {"max_steps": 2, "log_interval_steps": 1, "num_workers": 0}
    command, exp = our_command(audio, "trains", changes)
    with Run("ours", Path(sys.executable), command, exp) as run:
        first, second = run.next_interval(), run.next_interval()
        run.finish()
    assert (first.step, second.step) == (1, 2)
    assert first.at < second.at
    assert 0 < first.data_wait < 1
    assert saved_steps(exp / "checkpoints") == [2]


@pytest.mark.peer
@pytest.mark.skipif(not PEER_PYTHON.is_file(), reason="no tools/espnet_venv")
def test_a_run_prints_its_tables_and_saves_them(tmp_path, capsys):
    record = tmp_path / "record.md"
    words = ["train", "--tiny", "--rounds", "1", "--save", str(record)]
    assert main([*words, "--scratch", str(tmp_path / "scratch")]) == 0
    text = capsys.readouterr().out
    assert record.read_text() == text
    assert list((tmp_path / "scratch").iterdir()) == []
    peer = peer_name(PEER_PYTHON)
    assert re.fullmatch(r"espnet \d+(\.\d+)*", peer)
    assert re.findall(r"^### (.*)$", text, re.MULTILINE) == [
        f"Training beside {peer}, tiny: clean, one CPU thread",
        f"Training beside {peer}, tiny: augmented, one CPU thread",
        "Starting and saving, tiny: one CPU thread",
        "Ranks on one CPU, tiny: gloo, one thread a rank",
    ]
    speeds = re.findall(r"^\| steps a second \| ([\d.]+) \| ([\d.]+) \|", text, re.MULTILINE)
    assert len(speeds) == 2
    assert all(float(value) > 0 for pair in speeds for value in pair)
