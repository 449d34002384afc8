"""What a list of recordings became: the bar on a terminal, nothing of it elsewhere."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

CODE = """
from espnet2.data.kaldi import Utterance
from espnet2.data.outcome import Outcome
from espnet2.data.tsv import Dropped
utterances = [Utterance(utt_id=x, recording=x, source=x, speaker=x, duration_s=2.0) for x in "ab"]
outcome = Outcome(utterances, "out")
outcome.add(utterances[0])
outcome.add(utterances[1], Dropped(utt_id="b", reason="unreadable", detail="no audio"))
outcome.finish(None)
"""


def run(stderr):
    return subprocess.Popen([sys.executable, "-c", CODE], stderr=stderr, text=True)


def test_the_bar_is_drawn_on_a_terminal():
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    assert run(theirs).wait() == 0
    shown = os.read(ours, 10_000).decode()
    assert "100%|" in shown
    assert "x real time" in shown.partition("100%|")[2].splitlines()[0]


def test_elsewhere_there_are_lines_alone():
    process = run(subprocess.PIPE)
    lines = [line.split(": ", 1)[1] for line in process.stderr.read().splitlines()]
    assert process.wait() == 0
    assert lines[0] == "dropped b: unreadable: no audio"
    assert lines[1].startswith("out: ")
    assert lines[2].endswith("in: 2 utts / 0.00 h -> out: 1 utts / 0.00 h; dropped: unreadable 1")


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """The package of this checkout, from any folder."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
