"""A pre-training that saves after every step and is killed twenty times loses nothing."""

import random
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "train"))

from killable import (  # noqa: E402
    assert_equal,
    final,
    finish,
    log_path,
    pretrain_process,
    rows,
    until,
    utterances,
)
from tiny_dump import MODEL, make_dump, write_recipe  # noqa: E402

from espnet2.train.checkpoint import load_tensors, saved_steps, step_path  # noqa: E402
from espnet2.utils.files import read_json  # noqa: E402

pytestmark = pytest.mark.integration

KILLS, STEPS = 20, 48
RUN = {
    "max_steps": STEPS, "save_interval_steps": 1, "log_interval_steps": 3,
    "intermediate_interval_steps": 5, "valid_interval_steps": 12, "valid_batches": 1,
    "keep_nbest_models": 2, "ema_decay": 0.9,
    "phases": [{"until": 30, "inter_layer": {1: 0.3}}, {"noise_prob": 0.5, "rir_prob": 0.5}],
    # A state of 15 MB takes longer to write than a step to make.
    "encoder_conf": {**MODEL["encoder_conf"], "cgmlp_linear_units": 2**15},
}  # fmt: skip


def test_twenty_kills_at_any_moment_lose_nothing(tmp_path):
    dump = make_dump(tmp_path / "dump")
    recipe, chance = write_recipe(tmp_path / "recipe.yaml", **RUN), random.Random(20)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    torn = resumed = 0
    for _ in range(KILLS):
        process = pretrain_process(recipe, [f"num_workers={chance.randrange(3)}"], dump, killed)
        kill_at_some_moment(process, killed, chance)
        torn += bool(being_written(killed))
        resumed += bool(newest_step(killed))
    print(f"{torn} of {KILLS} kills fell into the writing of a checkpoint")
    assert torn >= KILLS // 4
    assert resumed >= KILLS // 2
    assert newest_step(killed) < STEPS  # every kill met a run at work
    for exp in (killed, whole):
        assert finish(pretrain_process(recipe, [], dump, exp)) == 0
    assert "cut or damaged" not in log_path(recipe, killed).read_text()
    assert_equal(final(killed), final(whole))
    assert rows(killed) == rows(whole)
    assert utterances(recipe, killed) == utterances(recipe, whole)
    assert_same_models(killed, whole)


def kill_at_some_moment(process, exp, chance):
    """SIGKILL after nought to two new checkpoints and a little while; every other time, on the
    average, not before something is being written."""
    newest = newest_step(exp)
    wanted = newest + chance.randrange(3)
    until(lambda: newest_step(exp) >= wanted, process)
    pause_s = chance.uniform(0, 0.3)
    if chance.random() < 0.5:
        until(lambda: being_written(exp), process)
        pause_s /= 10
    time.sleep(pause_s)
    process.kill()
    assert finish(process) == -signal.SIGKILL


def newest_step(exp):
    return max(saved_steps(exp / "checkpoints"), default=0)


def being_written(exp):
    """Unfinished files of models and states."""
    return list(exp.glob("*/.step_*.part"))


def assert_same_models(killed, whole):
    """Intermediate and best models, their names, rows and ranking."""
    for folder, count in (("intermediate", STEPS // 5 + 1), ("best", 2)):
        names = [sorted(p.name for p in (exp / folder).iterdir()) for exp in (killed, whole)]
        assert names[0] == names[1]  # nothing half written is left
        steps = saved_steps(whole / folder)
        assert len(steps) == count
        for step in steps:
            one, other = (load_tensors(step_path(exp / folder, step)) for exp in (killed, whole))
            assert_equal(one["model"], other["model"], f"{folder} {step}")
            assert one["rows"]["train"]["loss"] == other["rows"]["train"]["loss"]
    rankings = [read_json(exp / "best/best.json") for exp in (killed, whole)]
    assert rankings[0] == rankings[1]
