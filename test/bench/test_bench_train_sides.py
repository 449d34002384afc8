"""``bench train``: runs that take turns, what their logs tell, and what the tables make of it."""

import os
import sys
import time
from pathlib import Path

import pytest

from espnet2.bench.train_espnet import (
    OURS,
    PEER,
    cpu_row,
    memory_row,
    speed_row,
    wait_row,
)
from espnet2.bench.train_ranks import VARIANTS
from espnet2.bench.train_ranks import rows as rank_rows
from espnet2.bench.train_resume import saving_rows
from espnet2.bench.train_sides import PEER_LINE, Memory, Run, Turn, peers
from espnet2.utils.errors import ConfigError

LOADER = """
import time
held = bytearray(2**26)
while True:
    until = time.perf_counter() + 0.005
    while time.perf_counter() < until:
        pass
    time.sleep(0.045)
"""
CHILD = f"""
import json, subprocess, sys, time
loader = subprocess.Popen([sys.executable, "-c", {LOADER!r}], process_group=0)
for step in range(2, 2000, 2):
    until = time.perf_counter() + 0.05
    while time.perf_counter() < until:
        pass
    with open(sys.argv[1], "a") as file:
        file.write(json.dumps({{"split": "train", "step": step, "data_wait": 0.25}}) + "\\n")
    print(f"12:00 work: step {{step}}/2000  loss 1.000", flush=True)
"""


@pytest.fixture
def run(tmp_path):
    """A process that works and logs an interval of two steps every 50 ms, with a loader in a
    process group of its own, which holds more memory and works less."""
    words = ["-c", CHILD, str(tmp_path / "metrics.jsonl")]
    with Run("a run", Path(sys.executable), words, tmp_path) as run:
        yield run


def group_cpu_s(run):
    """Processor seconds of all processes of a run."""
    total = 0
    for pid in run.peaks():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def test_a_run_works_in_its_turn_only(run):
    run.begin(1)
    before = group_cpu_s(run)
    time.sleep(1.0)
    assert group_cpu_s(run) - before <= 0.02
    turn = run.turn(2)
    assert turn.steps == 4
    assert 0 < turn.seconds < 1.0  # not the time in which it stood still
    assert turn.data_wait == pytest.approx(0.25)
    assert len(run.peaks()) == 2
    assert turn.cpu_s > turn.seconds / 4  # the trainer's, not its loader's
    memory = run.memory()
    assert memory.trainer == min(run.peaks().values())
    assert memory.trainer < memory.once < memory.added_up == sum(run.peaks().values())


def test_nothing_of_a_run_is_left_behind(tmp_path):
    with Run("a run", Path(sys.executable), ["-c", CHILD, str(tmp_path / "m")], tmp_path) as run:
        pids = list(run.peaks())
        while len(pids) < 2:
            pids = list(run.peaks())
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(alive(pid) for pid in pids)


def alive(pid):
    """Whether a process works, and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_run_that_ends_early_is_told_with_its_last_words(tmp_path):
    words = ["-c", "import sys; sys.exit('no such thing')"]
    with (
        Run("the peer", Path(sys.executable), words, None) as run,
        pytest.raises(ConfigError, match="^the peer: training ended: no such thing$"),
    ):
        run.begin(1)


def test_without_the_reference_one_line_says_how_to_install_it(tmp_path):
    with pytest.raises(ConfigError, match="install the reference with tools/install.sh --with_esp"):
        Run("the peer", tmp_path / "none", [], None)


def test_the_peers_log_is_understood_where_it_forgets_a_comma():
    line = (
        "[vm] 2026-11-23 09:02:58,019 (trainer:811) INFO: 1epoch:train:1-2batch: iter_time=0.500, "
        "forward_time=3.436hubert_loss_m_3=25.313, loss_scale=1.000, optim0_lr0=2.344e-08, "
        "train_time=10.000"
    )
    interval = peers(7.0, PEER_LINE.search(line))
    assert (interval.at, interval.step, interval.data_wait) == (7.0, 2, 0.05)


def turn(seconds, data_wait=0.0):
    return Turn(seconds=seconds, steps=2, data_wait=data_wait, cpu_s=seconds)


def test_speed_memory_and_waiting_are_told_beside_the_peers():
    # The machine was twice as slow in the second round; the ratios do not see it.
    rounds = [
        {OURS: turn(1.0, 0.01), PEER: turn(4.0, 0.02)},
        {OURS: turn(2.0, 0.03), PEER: turn(8.0, 0.02)},
        {OURS: turn(1.0, 0.02), PEER: turn(3.0, 0.04)},
    ]
    assert speed_row("steps a second", rounds, OURS, 1.0, "") == (
        "steps a second", "2", "0.5", "4.00 × as fast", "3.00 to 4.00",
    )  # fmt: skip
    assert speed_row("audio a second", rounds, OURS, 20.0, " s")[1:3] == ("40 s", "10 s")
    assert cpu_row("processor", rounds, OURS) == (
        "processor", "0.50 s", "2.00 s", "0.25 of it", "0.25 to 0.33",
    )  # fmt: skip
    peaks = {
        OURS: Memory(trainer=2**20, once=2**21, added_up=2**22),
        PEER: Memory(trainer=2**22, once=2**23, added_up=2**23),
    }
    assert memory_row("memory", peaks, OURS, "once") == (
        "memory",
        "2 MiB",
        "8 MiB",
        "0.25 of it",
        "–",
    )
    assert wait_row("waiting", rounds, OURS) == (
        "waiting", "2.0%", "2.0%", "–", "1.0% to 3.0%, 2.0% to 4.0%",
    )  # fmt: skip


def test_what_saving_costs_is_told_beside_steps_that_save_nothing():
    ways = {
        "none": {"loop_s": 1.0, "held_s": 0.0},
        "inline": {"loop_s": 3.0, "held_s": 0.4},
        "thread": {"loop_s": 1.1, "held_s": 0.04},
    }
    cells = [row[1] for row in saving_rows([ways])]
    assert cells == ["400 ms", "40 ms", "10 %", "2,000 ms", "100 ms"]


def test_ranks_are_compared_within_their_round():
    def rates(x_real_time):
        return {"x_real_time": x_real_time, "communication": 0.1, "data_wait": 0.01,
                "memory_gib": 0.5}  # fmt: skip

    rounds = [
        dict(zip(VARIANTS, map(rates, speeds), strict=True))
        for speeds in ((10, 18, 19), (5, 9, 9.5), (10, 16, 20))
    ]
    alone, two, _ = rank_rows(rounds)
    assert alone == ("one rank", "10.0", "–", "–", "–", "1.0%", "0.50 GiB")
    assert two == (
        "two ranks", "16.0", "1.80 × as fast", "1.60 to 1.80", "10.0%", "1.0%", "0.50 GiB",
    )  # fmt: skip
