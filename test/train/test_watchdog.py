"""Real ranks that come to harm: the job ends in time, in one line, and nothing of it is left."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gloo_ranks import ENVIRONMENT
from watched_ranks import WATCHDOG_S

from espnet2.train.watchdog import Sign, most_behind
from espnet2.utils.processes import is_running

SCRIPT = Path(__file__).with_name("watched_ranks.py")
DRIVER = """
import sys
from espnet2.train.launch import run_ranks
from espnet2.utils.cli import run_main
sys.argv[0] = "driver"
run_main(lambda: run_ranks(sys.argv[2:], int(sys.argv[1])))
"""
LATE_S = 20  # a busy machine may be so much later than the watchdog
ENDS = {
    "stop": r"rank 2 of 3 \(\S+, pid \d+\) has made no step for 6 s; its last word: \w+ step \d",
    "hang": r"rank 1 of 2 \(\S+, pid \d+\) has made no step for 6 s; its last word: \w+ step 5, w",
    "kill": r"rank 1 \(pid \d+\) was killed by SIGKILL \(out of memory\?\); the same command goes",
    "diverge": r"step \d+: the weights of rank 1 of 2 differ from those of the other ranks",
}


def start(folder, harm):
    """The process that starts the ranks, as a stage does; of three two wait for a stopped one."""
    folder.mkdir()
    ranks = "3" if harm == "stop" else "2"
    command = [sys.executable, "-c", DRIVER, ranks, str(SCRIPT), str(folder), harm]
    return subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)


def family(pid):
    """The numbers of a process and all that came from it."""
    lines = subprocess.check_output(["ps", "-eo", "pid=,ppid="], text=True).splitlines()
    pairs = [tuple(map(int, line.split())) for line in lines]
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in pairs if its_parent == parent]
    return found


def watch(job, until, limit_s=120):
    """Everybody who ever belonged to ``job`` until ``until()`` or the limit."""
    seen, end = set(), time.monotonic() + limit_s
    while not until():
        assert time.monotonic() < end, "nothing happened"
        seen |= set(family(job.pid))
        time.sleep(0.1)
    return seen | set(family(job.pid))


def still_running(processes, limit_s):
    """Who of them is still there after up to ``limit_s`` seconds."""
    end = time.monotonic() + limit_s
    while (alive := [p for p in processes if is_running(p)]) and time.monotonic() < end:
        time.sleep(0.1)
    return alive


@pytest.mark.parametrize("harm", ENDS)
def test_a_rank_that_comes_to_harm_ends_the_job_in_one_line(tmp_path, harm):
    folder = tmp_path / harm
    job = start(folder, harm)
    processes = watch(job, (folder / "harmed").exists)
    began = time.monotonic()
    processes |= watch(job, lambda: job.poll() is not None)
    assert time.monotonic() - began < WATCHDOG_S + LATE_S
    assert len(processes) >= 6  # driver, torchrun, two ranks, a loader each
    assert still_running(processes, 5) == []
    assert job.returncode == 1
    errors = [line for line in job.stderr.read().splitlines() if ": error: " in line]
    assert len(errors) == 1
    assert errors[0].startswith("driver: error: ")
    assert re.search(ENDS[harm], errors[0]), errors[0]


@pytest.mark.parametrize("generation", [0, 1])  # the driver, torchrun
def test_a_launcher_that_is_killed_takes_everybody_along(tmp_path, generation):
    job = start(tmp_path / "none", "none")
    processes = watch(job, (tmp_path / "none/harmed").exists)
    assert len(processes) >= 6
    os.kill(family(job.pid)[generation], signal.SIGKILL)
    job.wait(30)
    assert still_running(processes, 10) == []


def test_a_rank_alone_is_watched_too(tmp_path):
    code = """
import sys, time
from espnet2.train.distributed import World
from espnet2.train.watchdog import Watchdog
sys.argv[0] = "pretrain"
with Watchdog(World(), 0.5) as dog:
    for step in range(8):
        dog.beat(f"in step {step}")
        time.sleep(0.1)
    time.sleep(60)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 70
    assert ended.stderr.startswith("pretrain: error: rank 0 of 1 (")
    assert ended.stderr.endswith(
        "has made no step for 0.5 s; its last word: in step 7; the same command goes on from the "
        "last checkpoint\n"
    )


def test_the_rank_that_is_stopped_or_came_least_far_holds_the_others_up():
    def signs(*beats):
        return {
            rank: Sign(beats=count, looks=1, word="", host="", pid=0)
            for rank, count in enumerate(beats)
        }

    assert most_behind(signs(7, 7, 6)) == 2
    assert most_behind(signs(7, -1, 6)) == 1
    assert most_behind(signs(7, 7)) == 0
