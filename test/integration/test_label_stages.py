"""Stages kmeans and label as real processes: many or few, killed or not, the same bytes."""

import argparse
import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from label_runs import ROOT, finish, start, write_recipe  # noqa: E402
from tiny_teachers import save_xeus  # noqa: E402
from tiny_tokens import make_set  # noqa: E402

from espnet2.bin import label  # noqa: E402
from espnet2.data.index import Index  # noqa: E402
from espnet2.data.labels import LabelStore  # noqa: E402
from espnet2.tokens.config import TokensConfig  # noqa: E402
from espnet2.utils.config import from_dict  # noqa: E402
from espnet2.utils.units import run_units  # noqa: E402

SHARDS = tuple(f"{corpus}/shards/{i:03d}.ark" for corpus in "ab" for i in range(3))
LENGTHS = (16000, 5200, 399, 400, 90000, 7777, -8000, 12345, 31999, 8000, 24000, 720) * 2
TEACHERS = ("mfcc", "xeus")

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A set of six shards, one of its utterances silent, and a recipe a teacher."""
    place = tmp_path_factory.mktemp("label stages") / "my recipe"
    index = make_set(place, lengths=LENGTHS, shards=SHARDS)
    assert len(list(index.each_shard())) == len(SHARDS)
    checkpoint = save_xeus(place / "model")[1]
    write_recipe(place / "mfcc.yaml")
    write_recipe(place / "xeus.yaml", teacher="xeus",
                 teacher_conf={"checkpoint": str(checkpoint), "layer": 2})  # fmt: skip
    return place


def contents(place, run):
    """Path -> bytes of all that a run left under tokens and labels, but for times of the clock."""
    found = {}
    for path in sorted(p for name in ("tokens", "labels") for p in (place / run / name).rglob("*")):
        name = str(path.relative_to(place / run))
        if path.is_file() and path.name != "provenance.json":
            found[name] = path.read_bytes()
        if path.name == "codebook.json":
            found[name] = {**json.loads(path.read_text()), "provenance": None}
    return found


def label_files(place, run):
    return {p.name: p.read_bytes() for p in (place / run / "labels/toy").glob("*.u16")}


@pytest.fixture(scope="module")
def plain(place):
    """By teacher: what one process leaves that nobody disturbs, and how long each stage took."""
    left = {}
    for teacher in TEACHERS:
        seconds = {}
        for stage in ("kmeans", "label"):
            begun = time.monotonic()
            finish(place, stage, teacher, teacher)
            seconds[stage] = time.monotonic() - begun
        left[teacher] = (contents(place, teacher), label_files(place, teacher), seconds)
    return left


@pytest.mark.parametrize("teacher", TEACHERS)
def test_processes_and_batches_change_no_bit(place, plain, teacher):
    _, labels, _ = plain[teacher]
    assert len(labels) == len(SHARDS)
    assert len(set(b"".join(labels.values()))) > 10
    run = f"three {teacher}"
    shutil.copytree(place / teacher / "tokens", place / run / "tokens")
    # Three lanes and six shards: each has a process of its own.
    finish(place, "label", run, teacher, "--nj", "3", "--set", "tokens.batch_seconds=1")
    assert label_files(place, run) == labels
    index = Index.open(place / "train")
    assert len(LabelStore.open(index, place / run / "labels/toy")) == len(index)


def test_two_gpus_lanes_change_no_bit(place, plain, monkeypatch):
    """Lanes as two GPUs have them; the units in them compute on the CPU."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    monkeypatch.chdir(ROOT)
    teacher = "xeus"
    out = place / f"gpus {teacher}/labels/toy"
    args = argparse.Namespace(
        index=place / "train/index.arrow", codebook=place / teacher / "tokens/toy", out=out,
        ngpu=0, nj=1, cluster="local", log_dir=out.parents[1] / "log",
    )  # fmt: skip
    section = yaml.safe_load((place / f"{teacher}.yaml").read_text())["tokens"]
    config = from_dict(TokensConfig, {**section, "batch_seconds": 100.0}, "tokens")
    units = label.shard_units(Index.open(args.index), config, args)
    args.ngpu = 2
    assert run_units([dataclasses.replace(unit, gpus=1) for unit in units], args) == 0
    assert label_files(place, f"gpus {teacher}") == plain[teacher][1]


@pytest.mark.parametrize("teacher", TEACHERS)
def test_killed_at_any_moment_the_stages_end_with_the_same_bytes(place, plain, teacher):
    left, _, seconds = plain[teacher]
    run, chance = f"killed {teacher}", random.Random(teacher)
    moments = [chance.uniform(0.4, 1) for _ in range(3)]  # as shares of the undisturbed time
    killed = [
        killed_after(place, run, teacher, "kmeans", share * seconds["kmeans"])
        for share in moments[:2]
    ]
    finish(place, "kmeans", run, teacher)
    for shards in sorted(chance.sample(range(1, len(SHARDS)), 2)):
        killed.append(killed_with(place, run, teacher, shards))
    killed.append(killed_after(place, run, teacher, "label", moments[2] * seconds["label"]))
    done = markers(place, run)
    assert done
    finish(place, "label", run, teacher, "--nj", "2")
    after = markers(place, run)
    assert {name: after[name] for name in done} == done  # none of them was done again
    assert len(after) == len(SHARDS)
    assert sum(killed) >= 3
    found = contents(place, run)
    assert sorted(found) == sorted(left)
    assert [name for name in left if found[name] != left[name]] == []
    assert "up to date" in finish(place, "label", run, teacher)


def killed_after(place, run, teacher, stage, seconds):
    """Kill a stage after so many seconds; whether it was still at work."""
    process = start(place, stage, run, teacher, "--nj", "2")
    try:
        process.communicate(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True


def killed_with(place, run, teacher, shards):
    """Kill the label stage when so many shards are done; whether it was still at work."""
    process = start(place, "label", run, teacher, "--nj", "2")
    while process.poll() is None and len(markers(place, run)) < shards:
        time.sleep(0.002)
    is_at_work = process.poll() is None
    if is_at_work:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return is_at_work


def markers(place, run):
    """Name -> (inode, time) of the shards' markers; a unit that is done again writes a new one."""
    found = {}
    for path in (place / run / "labels/toy").glob(".*.u16.done"):
        found[path.name] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found
