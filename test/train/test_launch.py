"""Starting ranks: what is called, what an error says, where signals go."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from espnet2.train import launch as launching
from espnet2.train.launch import launch, run_ranks, signal_children, torchrun_command
from espnet2.utils.errors import XeusError

ROOT = Path(__file__).resolve().parents[2]
SPEAK = "import sys; print({text!r}, file=sys.stderr); sys.exit({status})"


@pytest.fixture(autouse=True)
def keep_handlers():
    before = {number: signal.getsignal(number) for number in launching.STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run_fake_ranks(monkeypatch, text, status):
    """``run_ranks`` with a program in torchrun's place that prints ``text`` and ends."""
    monkeypatch.setattr(launching, "torchrun_command", lambda ranks: [sys.executable])
    run_ranks(["-c", SPEAK.format(text=text, status=status)], 2)


def test_one_rank_is_a_call_in_this_process():
    result = launch("espnet2.utils.files:sha256_text", {"text": "a"}, 1)
    assert result.startswith("ca978112")


def test_torchrun_gets_the_loopback_address():
    command = torchrun_command(3)
    assert "--local_addr=127.0.0.1" in command
    assert "--nproc_per_node=3" in command


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rank: error: x.yaml: lr is odd\nnoise of torchrun", "^x.yaml: lr is odd$"),
        ("failed (exitcode: -9) local_rank: 1 (pid: 7)", "^rank 1 ended with exit code -9; the"),
        ("nothing known", "^torchrun ended with 3$"),
    ],
)
def test_a_failed_rank_speaks_in_one_line(monkeypatch, capfd, text, message):
    with pytest.raises(XeusError, match=message):
        run_fake_ranks(monkeypatch, text, 3)
    assert text in capfd.readouterr().err


def test_ranks_that_succeed_show_what_they_print_and_nothing_else(monkeypatch, capfd):
    run_fake_ranks(monkeypatch, "step 1/1", 0)
    assert capfd.readouterr().err.strip() == "step 1/1"


def test_a_stop_signal_goes_to_every_child():
    code = "import signal, time; signal.signal(15, lambda *_: exit(7)); print(1, flush=True); "
    child = subprocess.Popen([sys.executable, "-c", code + "time.sleep(9)"], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"1\n"
    signal_children(signal.SIGTERM, None)
    assert child.wait(5) == 7


def test_asking_how_to_start_imports_no_torch():
    code = "import sys, espnet2.bin.pretrain, espnet2.bin.export; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert said == "False\n"
