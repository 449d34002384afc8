"""Real pre-trainings that are killed, stopped, shared among other ranks, or find a full disk."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from killable import (
    assert_equal,
    final,
    finish,
    free_port,
    log_path,
    pretrain_process,
    rows,
    until,
    utterances,
)
from tiny_dump import MODEL, TAG, make_dump, write_recipe

from espnet2.train.checkpoint import is_whole, saved_steps, step_path
from espnet2.utils.files import read_json

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_DROPOUT = {
    "encoder_conf": {
        **MODEL["encoder_conf"], "dropout_rate": 0.0, "positional_dropout_rate": 0.0,
    }
}  # fmt: skip
FIFTY = {"max_steps": 100, "save_interval_steps": 25, "intermediate_interval_steps": 50,
         "valid_interval_steps": 50, "log_interval_steps": 5}  # fmt: skip


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    return make_dump(tmp_path_factory.mktemp("dump"))


@pytest.fixture(scope="module")
def whole(dump, tmp_path_factory):
    """A run of six steps that nobody disturbs."""
    place = tmp_path_factory.mktemp("whole")
    recipe = write_recipe(place / "recipe.yaml")
    assert finish(pretrain_process(recipe, [], dump, place / "exp")) == 0
    return place / "exp"


def command(recipe, dump, exp, *overrides):
    """The stage as the recipe starts it, in a session of its own."""
    sets = [word for one in overrides for word in ("--set", f"pretrain.{one}")]
    words = ["--conf", recipe, "--dump", dump, "--labels_tag", TAG, "--exp", exp,
             "--log_dir", f"{exp}.logs", *sets]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "espnet2.bin.pretrain", *map(str, words)], cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def test_a_hundred_steps_are_fifty_a_kill_and_fifty(dump, tmp_path):
    recipe, parts = write_recipe(tmp_path / "recipe.yaml", **FIFTY), tmp_path / "parts"
    undisturbed = pretrain_process(recipe, [], dump, tmp_path / "whole")
    stage = command(recipe, dump, parts)
    while 50 not in saved_steps(parts / "checkpoints"):
        assert stage.poll() is None, stage.communicate()[0]
        time.sleep(0.001)
    os.killpg(stage.pid, signal.SIGKILL)
    stage.communicate()
    assert saved_steps(parts / "checkpoints")[-1] < 100
    again = command(recipe, dump, parts, "num_workers=2")
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert finish(undisturbed) == 0
    assert_equal(final(parts), final(tmp_path / "whole"))
    assert rows(parts) == rows(tmp_path / "whole")
    assert len(rows(parts)) == 22
    assert read_json(parts / "best/best.json") == read_json(tmp_path / "whole/best/best.json")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_stop_signal_saves_and_the_next_start_goes_on(dump, tmp_path, number):
    recipe = write_recipe(
        tmp_path / "recipe.yaml", max_steps=10_000, save_interval_steps=9000,
        intermediate_interval_steps=9000, valid_interval_steps=0,
    )  # fmt: skip
    process = pretrain_process(recipe, [], dump, tmp_path / "exp")
    until((tmp_path / "exp/metrics.jsonl").is_file, process)
    until((tmp_path / "exp/metrics.jsonl").read_text, process)
    os.kill(process.pid, number)
    assert finish(process) == 1
    [step] = saved_steps(tmp_path / "exp/checkpoints")
    log = log_path(recipe, tmp_path / "exp").read_text()
    assert f"holds a checkpoint of step {step}: run the same command to go on" in log
    ends = [f"max_steps={step + 3}", "valid_interval_steps=0"]
    for exp in ("exp", "whole"):
        assert finish(pretrain_process(recipe, ends, dump, tmp_path / exp)) == 0
    assert_equal(final(tmp_path / "exp"), final(tmp_path / "whole"))


def test_one_rank_then_two_then_one_see_the_same_batches_and_losses(dump, tmp_path):
    recipe = write_recipe(
        tmp_path / "recipe.yaml", max_steps=12, log_interval_steps=1, save_interval_steps=4,
        valid_interval_steps=0, **WITHOUT_DROPOUT,
    )  # fmt: skip
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    undisturbed = pretrain_process(recipe, [], dump, alone)
    for stop, size, accum_grad in ((4, 1, 1), (8, 2, 1), (12, 1, 2)):
        port, ends = free_port(), [f"max_steps={stop}", f"accum_grad={accum_grad}"]
        places = [(rank, size, port) for rank in range(size)] if size > 1 else [None]
        ranks = [pretrain_process(recipe, ends, dump, shared, place) for place in places]
        assert [finish(rank) for rank in ranks] == [0] * size
    assert finish(undisturbed) == 0
    assert utterances(recipe, shared) == utterances(recipe, alone)
    assert sorted(utterances(recipe, alone)) == list(range(12))
    losses = [
        [row["loss"] for row in rows(exp) if row["split"] == "train"] for exp in (shared, alone)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6, rel=0)
    assert len(losses[0]) == 12


def errors(recipe, exp):
    """What the run in ``exp`` said was wrong."""
    log = log_path(recipe, exp).read_text()
    assert "Traceback" not in log
    return re.findall(r"^\S+: error: (.*)$", log, re.MULTILINE)


def assert_goes_on(whole, exp, recipe, dump):
    """The last good checkpoint is there and whole, and leads to the same end."""
    steps = saved_steps(exp / "checkpoints")
    assert steps
    assert all(is_whole(step_path(exp / "checkpoints", step)) for step in steps)
    assert finish(pretrain_process(recipe, [], dump, exp)) == 0
    assert_equal(final(exp), final(whole))
    assert rows(exp) == rows(whole)


def test_a_file_that_may_not_grow_ends_the_run_with_one_line(whole, dump, tmp_path):
    recipe, exp = write_recipe(tmp_path / "recipe.yaml"), tmp_path / "exp"
    process = pretrain_process(recipe, [], dump, exp)
    until(lambda: saved_steps(exp / "checkpoints"), process)
    limit = 2**17  # less than a checkpoint, more than anything else
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    assert finish(process) == 1
    [error] = errors(recipe, exp)
    assert re.fullmatch(rf"{exp}/checkpoints/step_000000\d.pth: File too large: .*ulimit.*", error)
    assert_goes_on(whole, exp, recipe, dump)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("file systems may not be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_ends_the_run_with_one_line(whole, dump, tmp_path, small_disk):
    recipe, exp = write_recipe(tmp_path / "recipe.yaml"), small_disk / "exp"
    process = pretrain_process(recipe, [], dump, exp)
    until(lambda: saved_steps(exp / "checkpoints"), process)
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    assert finish(process) == 1
    [error] = errors(recipe, exp)
    assert error.startswith(f"the disk is full while writing {exp}/")
    assert error.endswith("; free some space and run the same command again")
    filler.unlink()
    assert_goes_on(whole, exp, recipe, dump)


def test_a_folder_that_cannot_be_written_is_one_line(dump, tmp_path, small_disk):
    recipe, exp = write_recipe(tmp_path / "recipe.yaml"), small_disk / "exp"
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert finish(pretrain_process(recipe, [], dump, exp)) == 1
    assert errors(recipe, exp) == [
        f"{exp}: Read-only file system: make that place writable, or choose another"
    ]
