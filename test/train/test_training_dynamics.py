"""bin.training_dynamics on a tiny trained run."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from tiny_dump import TAG, make_dump
from tiny_dynamics import BLOCKS, arguments, study, train

from espnet2.data.index import Index
from espnet2.data.labels import LabelStore
from espnet2.ssl.config import SSLModelConfig, model_keys
from espnet2.ssl.factory import build_model
from espnet2.train.checkpoint import load_tensors, step_path
from espnet2.train.dynamics import sample as dynamics_sample
from espnet2.train.dynamics.checkpoints import open_run
from espnet2.train.dynamics.cka import linear_cka
from espnet2.train.dynamics.report import with_rows
from espnet2.train.dynamics.sample import draw_sample
from espnet2.train.dynamics.study import Study
from espnet2.utils.errors import DataError
from espnet2.utils.files import write_json


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    return make_dump(tmp_path_factory.mktemp("dump"))


@pytest.fixture(scope="module")
def exp(dump, tmp_path_factory):
    """Checkpoints of steps 2, 4 and 6."""
    return train(dump, tmp_path_factory.mktemp("runs") / "exp", 6)


@pytest.fixture(scope="module")
def studied(exp, dump, tmp_path_factory):
    out = tmp_path_factory.mktemp("studied") / "out"
    return out, study(exp, dump, out)


@pytest.fixture
def changed(exp, tmp_path):
    """A copy of the run, to be damaged."""
    return shutil.copytree(exp, tmp_path / "exp")


def measured(capsys):
    """Steps of the checkpoints that a call worked on."""
    return [int(step) for step in re.findall(r" of \d+: step (\d+)", capsys.readouterr().err)]


def model_of(exp, step):
    content = load_tensors(step_path(exp / "intermediate", step))
    model = build_model(SSLModelConfig.from_espnet(model_keys(content["config"])[0]))
    model.load_state_dict(content["model"])
    return model.eval()


def alone(model, sample):
    """States (L, N, D), head's choices (N,), and masked (right, of) one utterance after another."""
    states, best, right, masked = [], [], 0, 0
    for row in range(len(sample.index)):
        speech = torch.from_numpy(sample.audio(row))[None]
        length = torch.tensor([speech.shape[1]])
        labels = torch.from_numpy(sample.teacher.labels(row).astype(np.int64))[None]
        frames = labels.shape[1]
        uniforms = torch.from_numpy(sample.uniforms(row, frames, 0))[None]
        with torch.no_grad():
            layers = model.encode(speech, length).layers
            found = model(speech, length, labels, torch.tensor([frames]), uniforms)
        states.append(torch.cat(layers))
        best.append(model.losses[0].decoder(layers[-1])[0].argmax(-1))
        right, masked = (
            total + int(more)
            for total, more in zip((right, masked), found.counts["masked_acc"], strict=True)
        )
    return torch.cat(states, 1), torch.cat(best), right, masked


def test_figures_are_those_of_each_utterance_alone(exp, dump, studied, tmp_path):
    out, found = studied
    sample = draw_sample(dump / "valid", TAG, tmp_path / "sample", 0, 0.2, None)
    models = {step: model_of(exp, step) for step in (2, 4, 6)}
    states = {step: alone(model, sample) for step, model in models.items()}
    assert [row["step"] for row in found["checkpoints"]] == [2, 4, 6]
    for row, before in zip(found["checkpoints"], (None, 2, 4), strict=True):
        layers, best, right, masked = states[row["step"]]
        assert row["masked_frames"] == masked > 30
        assert row["masked_acc"] == right / masked
        store = LabelStore.open(sample.index, out / f"predictions/step_{row['step']:07d}")
        predicted = np.concatenate([store.labels(i) for i in range(len(store))])
        assert predicted.tolist() == best.tolist()
        labels = np.concatenate([sample.teacher.labels(i) for i in range(len(store))])
        assert row["visible_acc"] == (predicted == labels).mean()
        for name, other in (("reference", 6), ("previous", before)):
            if other is None:
                assert name not in row
                continue
            pairs = zip(layers, states[other][0], strict=True)
            expected = [linear_cka(x, y, torch.device("cpu")) for x, y in pairs]
            assert row[name]["cka"] == pytest.approx(expected, abs=1e-5)
    assert found["checkpoints"][-1]["reference"]["cka"] == [1.0] * BLOCKS
    assert found["checkpoints"][0]["reference"]["cka"][0] < 0.9999


def test_the_changes_of_weights_are_those_of_each_part(exp, studied):
    before, after = (load_tensors(step_path(exp / "intermediate", s))["model"] for s in (4, 6))
    changes = studied[1]["checkpoints"][-1]["previous"]["weight_change"]
    names = [name for name in before if name.startswith("encoder.encoders.1.")]
    moved, norm = (
        sum(float(tensor.square().sum()) for tensor in tensors) ** 0.5
        for tensors in ([after[n] - before[n] for n in names], [before[n] for n in names])
    )
    assert changes["block 2"] == pytest.approx(moved / norm, rel=1e-5)
    assert {"block 1", "frontend", "preencoder", "encoder", "losses", "masker"} < set(changes)


def test_a_table_a_page_and_plots_are_written(studied):
    out, found = studied
    head, *rows = [line.split("\t") for line in (out / "dynamics.tsv").read_text().splitlines()]
    table = [dict(zip(head, row, strict=True)) for row in rows]
    assert [row["step"] for row in table] == ["2", "4", "6"]
    assert (table[2]["lr"], table[2]["cka_reference_2"]) == ("0.003", "1")
    assert float(table[2]["loss"]) > 0
    assert table[0]["cka_previous_1"] == ""
    page = (out / "dynamics.md").read_text()
    assert "3 checkpoints" in page
    assert "the final model is that of step 6" in page
    acc = found["checkpoints"][-1]["masked_acc"]
    assert f"to {100 * acc:.1f} % (step 6)" in page
    for picture in re.findall(r"!\[\]\((.*)\)", page):
        assert (out / picture).read_bytes()[:4] == b"\x89PNG"
    assert page.count("![](") == 6
    assert list((out / "states").iterdir()) == []


def test_a_row_of_training_goes_with_each_checkpoint(changed):
    rows = [row["train"] for row in with_rows([{"step": 4}, {"step": 5}], changed)]
    assert [row["step"] for row in rows] == [4, 4]
    kept = changed / "intermediate/step_0000004.json"
    write_json(kept, {"step": 4, "train": {"step": 4, "loss": 7.5}, "valid": None})
    assert with_rows([{"step": 4}], changed)[0]["train"]["loss"] == 7.5
    kept.unlink()
    assert with_rows([{"step": 4}], changed)[0]["train"] == rows[0]
    (changed / "metrics.jsonl").unlink()
    assert with_rows([{"step": 4}], changed)[0]["train"] == {}


def test_predictions_against_a_ctm_stand_beside_the_labels(exp, dump, tmp_path):
    index = Index.open(dump / "valid")
    labels = LabelStore.open(index, dump / "valid/labels" / TAG)
    ctm = tmp_path / "phones.ctm"
    ctm.write_text("".join(
        f"{index.utt_ids[row]} 1 {0.02 * frame:.2f} 0.02 p{label}\n"
        for row in range(len(index)) for frame, label in enumerate(labels.labels(row))
    ))  # fmt: skip
    found = study(exp, dump, tmp_path / "out", "--ctm", str(ctm))
    assert found["labels"]["phone_purity"] == found["labels"]["pnmi"] == 1.0
    for row in found["checkpoints"]:  # phones are the labels: both comparisons are one
        assert row["phones"]["pnmi"] == pytest.approx(row["pnmi"], abs=1e-12)
        assert row["phones"]["phone_purity"] == row["purity"]
    assert "PNMI of the predictions" in (tmp_path / "out/dynamics.md").read_text()


def test_a_second_call_measures_nothing_and_more_training_only_what_is_new(dump, tmp_path, capsys):
    exp, out = train(dump, tmp_path / "exp", 4), tmp_path / "out"

    def results(out, reference=None):
        sample = draw_sample(dump / "valid", TAG, out / "sample", 0, 0.2, None)
        run = open_run(exp, 1, reference)
        return Study(run, sample, out, torch.device("cpu")).results()

    capsys.readouterr()
    results(out)
    assert measured(capsys) == [2, 4]
    results(out)
    assert measured(capsys) == []
    train(dump, exp, 6)
    results(out, reference=4)
    assert measured(capsys) == [6]
    in_steps = results(out)  # another final model: CKA with it is new for all
    assert measured(capsys) == [2, 4, 6]
    assert in_steps == results(tmp_path / "new")


def test_a_killed_call_goes_on_and_ends_the_same(exp, dump, studied, tmp_path, capsys):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "espnet2.bin.training_dynamics", *arguments(exp, dump, out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=dict(os.environ))
    while not (out / "checkpoints/step_0000002.json").is_file():
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "dynamics.json").exists()
    study(exp, dump, out)
    assert (out / "dynamics.tsv").read_bytes() == (studied[0] / "dynamics.tsv").read_bytes()


def test_every_and_utterances_choose_and_the_sample_is_seeded(exp, dump, tmp_path):
    found = study(exp, dump, tmp_path / "a", "--every", "3", "--utterances", "3")
    assert [row["step"] for row in found["checkpoints"]] == [2, 6]
    assert found["sample"]["utterances"] == 3
    ids = [
        draw_sample(dump / "valid", TAG, tmp_path / str(seed), seed, 1, 3).index.utt_ids[:]
        for seed in (0, 0, 1)
    ]
    assert list(ids[0]) == list(ids[1]) != list(ids[2])


def test_utterances_too_long_for_memory_are_not_drawn(dump, tmp_path, capsys, monkeypatch):
    index = Index.open(dump / "valid")
    monkeypatch.setattr(dynamics_sample, "LONGEST_S", 0.5)
    rows = dynamics_sample.drawn_rows(index, 0, 1.0, None)
    short = [row for row in range(len(index)) if index.num_samples[row] <= 8000]
    assert rows.tolist() == short
    assert f"{len(index) - len(short)} of 6 utterances are longer" in capsys.readouterr().err
    monkeypatch.setattr(dynamics_sample, "LONGEST_S", 0.1)
    with pytest.raises(DataError, match="holds no utterance of up to 0.1 s"):
        dynamics_sample.drawn_rows(index, 0, 1.0, None)
