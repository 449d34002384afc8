"""Cells whose encoder learns: exact resume, any number of workers, and what scoring loads."""

import multiprocessing
import os
import signal
import time

import pytest
import torch
from tuned_cells import FULL, LORA, cell_of, run, tiny_asr, write_all

from espnet2.asr.config import EncoderSpec, FeatureConfig, TuneConfig
from espnet2.asr.encoders import build_network
from espnet2.evaluation.cells import Cell
from espnet2.evaluation.decode import CellDecoder
from espnet2.train import finetune as module
from espnet2.train.cell_model import on_audio
from espnet2.train.checkpoint import load_tensors, saved_steps
from espnet2.train.metrics import read_metrics
from espnet2.utils.errors import ConfigError

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["espnet2.train.finetune", "torch._dynamo"])
PATIENCE_S = 120


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Data, an export, and an encoder's folder with features that are not stored."""
    folder = tmp_path_factory.mktemp("tuned")
    tiny_asr.make_export(folder / "export")
    write_all(folder, FeatureConfig(keep="never", amp="float32"), folder / "out/tuned/features")
    return folder


def same(a, b):
    return all(
        torch.equal(a[part][name], b[part][name])
        for part in ("model", "encoder")
        for name in (*a[part], *b[part])
    )


@pytest.mark.parametrize("tune", [FULL, LORA], ids=["full", "lora"])
def test_a_cell_killed_at_any_moment_ends_with_the_same_bits(place, tune):
    whole = run(place, f"whole_{tune.encoder}", tune=tune)
    name = f"killed_{tune.encoder}"
    checkpoints = place / "out/tuned" / name / "checkpoints"
    for least in (1, 4):
        process = CONTEXT.Process(target=run, args=(place, name), kwargs={"tune": tune})
        process.start()
        end = time.monotonic() + PATIENCE_S
        while max(saved_steps(checkpoints), default=0) < least and time.monotonic() < end:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert max(saved_steps(checkpoints)) >= least
    assert same(whole, run(place, name, tune=tune))
    rows = [
        read_metrics(place / "out/tuned" / n / "metrics.jsonl")
        for n in (name, f"whole_{tune.encoder}")
    ]
    losses = [{r["step"]: r["loss"] for r in some if r["split"] == "valid"} for some in rows]
    assert losses[0] == losses[1]


def test_the_number_of_loader_processes_changes_nothing(place):
    assert same(run(place, "workers_0"), run(place, "workers_2", workers=2))


def test_the_file_holds_the_probe_and_what_changed_and_scoring_loads_it(place):
    saved = run(place, "kept", tune=LORA)
    assert all("lora_" in name for name in saved["encoder"])
    assert len(saved["encoder"]) == 2 * 2 * 4
    assert any(x.any() for name, x in saved["encoder"].items() if "lora_B" in name)
    size = (place / "out/tuned/kept/model.pth").stat().st_size
    export = (place / "export/xeus_checkpoint_old.pth").stat().st_size
    assert size < export + 40_000
    cell = Cell(
        folder=place / "out/tuned/kept", encoder="tuned", task="joint", track="10min",
        lr="0.003", seed=1,
    )  # fmt: skip
    decoder = CellDecoder.open(cell, place / "dump", batch_s=4.0)
    state = decoder.model.state_dict()
    assert all(torch.equal(state[f"encoder.{n}"], x) for n, x in saved["encoder"].items())
    hypotheses = decoder.decode("test")
    assert len(hypotheses) == 6
    assert len(decoder.layer_weights()) == 3


def test_an_export_that_is_gone_is_named_with_the_place_to_say_where_it_went(tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"the encoder of joint_10min_lr0.003_seed1 was .*/gone, which is not there; put it "
        r"back, or change data.export in the cell's config.yaml",
    ):
        on_audio(None, cell_of(), tmp_path / "gone")


def test_full_tuning_changes_the_encoder_and_keeps_only_the_best_copies(place):
    saved = run(place, "full")
    before = build_network(EncoderSpec(kind="export"), place / "export").state_dict()
    changed = {n for n, x in saved["encoder"].items() if not torch.equal(x, before[n])}
    assert {n.split(".")[1] for n in changed} == {"masker", "preencoder", "encoder"}
    out = place / "out/tuned/full"
    assert saved_steps(out / "best") == saved["steps"]
    assert len(saved["steps"]) == 2
    assert saved_steps(out / "intermediate") in ([], [6])
    losses = [r["loss"] for r in read_metrics(out / "metrics.jsonl") if r["split"] == "valid"]
    assert losses[-1] < losses[0]


def test_a_frozen_encoder_trains_the_same_probe_from_audio_as_from_the_store(place):
    write_all(place, FeatureConfig(keep="always", amp="float32"), place / "out/stored/features")
    cell, frozen = cell_of(TuneConfig(), keep="always"), TuneConfig()
    out = place / "out/stored/cell"
    module.run_cell(out, place / "dump", out.parent / "features", place / "export", cell)
    stored, live = load_tensors(out / "model.pth"), run(place, "live", tune=frozen)
    assert stored.keys() == live.keys() == {"model", "steps"}
    for name, value in stored["model"].items():
        torch.testing.assert_close(live["model"][name], value, rtol=0.02, atol=2e-3)
