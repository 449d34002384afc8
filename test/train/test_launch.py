"""Starting ranks: what is called, what an error says, where signals go."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from espnet2.train import launch as launching
from espnet2.train.launch import launch, run_ranks, torchrun_command
from espnet2.utils.errors import XeusError
from espnet2.utils.processes import signal_children

ROOT = Path(__file__).resolve().parents[2]
OWN = "rank: error: lr is odd"
GONE = "rank: error: rank 0 of 2 has lost the other ranks: reset"
KILLED = "agent: error: rank 1 was killed by SIGKILL"
ENDED = "agent: error: rank 0 ended with exit status 1"
SPEAK = "import sys; print({text!r}, file=sys.stderr); sys.exit({status})"


@pytest.fixture(autouse=True)
def keep_handlers():
    before = {number: signal.getsignal(number) for number in launching.STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run_fake_ranks(monkeypatch, text, status):
    """``run_ranks`` with a program in torchrun's place that prints ``text`` and ends."""
    monkeypatch.setattr(launching, "torchrun_command", lambda ranks, nodes: [sys.executable])
    run_ranks(["-c", SPEAK.format(text=text, status=status)], 2)


def test_one_rank_is_a_call_in_this_process():
    result = launch("espnet2.utils.files:sha256_text", {"text": "a"}, 1)
    assert result.startswith("ca978112")


def test_torchrun_gets_the_loopback_address():
    command = torchrun_command(3)
    assert "--local_addr=127.0.0.1" in command
    assert "--nproc_per_node=3" in command


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["a: error: rank 1 has made no step for 9 s", KILLED, OWN],
            "rank 1 has made no step for 9 s",
        ),
        ([GONE, OWN, KILLED, ENDED], "rank 1 was killed by SIGKILL"),
        ([GONE, OWN, OWN, "rank: error: lr is even", ENDED], "lr is odd"),
        ([ENDED, GONE], "rank 0 of 2 has lost the other ranks: reset"),
        ([ENDED], "rank 0 ended with exit status 1"),
        ([], "the ranks ended with status 3"),
    ],
)
def test_of_many_error_lines_the_one_that_explains_the_others_is_raised(
    monkeypatch, capfd, lines, message
):
    with pytest.raises(XeusError) as caught:
        run_fake_ranks(monkeypatch, "\n".join([*lines, "a traceback"]), 3)
    assert str(caught.value) == message
    assert capfd.readouterr().err == "a traceback\n"


def test_ranks_that_succeed_show_what_they_print_and_nothing_else(monkeypatch, capfd):
    run_fake_ranks(monkeypatch, "step 1/1", 0)
    assert capfd.readouterr().err.strip() == "step 1/1"


def test_a_stop_signal_goes_to_every_child():
    code = "import signal, time; signal.signal(15, lambda *_: exit(7)); print(1, flush=True); "
    child = subprocess.Popen([sys.executable, "-c", code + "time.sleep(9)"], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"1\n"
    signal_children(signal.SIGTERM)
    assert child.wait(5) == 7


def test_asking_how_to_start_imports_no_torch():
    code = "import sys, espnet2.bin.pretrain, espnet2.bin.export; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert said == "False\n"


# A rank that needs longer than it is given, and an agent that gives it two seconds instead of 120.
DEAF = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").close()
time.sleep(100)
"""
AGENT = "import espnet2.train.agent as agent; agent.STOP_S = 2; agent.main()"


def test_after_a_stop_signal_ranks_have_the_time_of_this_project_and_not_torchruns(tmp_path):
    (tmp_path / "deaf.py").write_text(DEAF)
    words = [*torchrun_command(1)[3:], str(tmp_path / "deaf.py"), str(tmp_path / "started")]
    job = subprocess.Popen([sys.executable, "-c", AGENT, *words], stderr=subprocess.PIPE, cwd=ROOT)
    while not (tmp_path / "started").exists():
        assert job.poll() is None, job.stderr.read()
        time.sleep(0.05)
    began = time.monotonic()
    job.send_signal(signal.SIGTERM)
    assert job.wait(60) == 1
    assert 2 <= time.monotonic() - began < 20  # torchrun's own 30 would show
    assert b"the ranks were stopped by SIGTERM" in job.stderr.read()
