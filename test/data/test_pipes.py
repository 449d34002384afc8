"""Commands as audio sources: what runs, what is refused, and that nothing is left behind."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2.data.pipes import is_pipe, parse_pipe, run_pipe
from espnet2.utils.errors import DataError

PYTHON = shlex.quote(sys.executable)


def script(code):
    return f"{PYTHON} -c {shlex.quote(code)}"


def test_a_source_that_ends_or_begins_with_a_bar_is_a_command():
    assert all(map(is_pipe, ["flac -dc a.flac |", "cat a |  ", "| gzip -c > a"]))
    assert not any(map(is_pipe, ["/a|b.wav", "x.ark:17", "", "x.parquet:3"]))


def test_words_are_split_as_a_shell_splits_them():
    source = r"""sox "/a b/c.wav" -t wav - remix '1|2;$x' | cat '/é*' a\ b \| "it's" |"""
    assert parse_pipe(source) == [
        ["sox", "/a b/c.wav", "-t", "wav", "-", "remix", "1|2;$x"],
        ["cat", "/é*", "a b", "|", "it's"],
    ]


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@settings(deadline=None)
@given(st.lists(st.lists(words, min_size=1, max_size=4), min_size=1, max_size=3))
def test_quoted_words_of_any_kind_come_through(commands):
    commands = [["run", *command] for command in commands]
    source = " | ".join(shlex.join(command) for command in commands) + " |"
    assert parse_pipe(source) == commands


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("cat < a.wav |", "redirections are not run: give the file as an argument"),
        ("sph2pipe a.sph 2>/dev/null |", "redirections are not run: leave them out"),
        ("cd x; cat a |", "only one chain of commands is run: put the steps into a script"),
        ("cd x && cat a |", "only one chain of commands is run, in the foreground"),
        ("cat a || cat b |", r"a command is missing beside '\|' \('\|\|' is not run\)"),
        ("cat $(ls) |", r"variables and \$\(...\) are not expanded: write the value out"),
        ('cat "$HOME/a.wav" |', r"variables and \$\(...\) are not expanded"),
        (r'cat "\$a" |', r"variables and \$\(...\) are not expanded"),
        ("cat `ls` |", "backquotes are not run"),
        ("cat *.wav |", "wildcards are not expanded: name the files"),
        ("cat ~/a.wav |", "~ is not expanded"),
        ("cat a.{wav,flac} |", "braces are not expanded"),
        ("(cat a) |", "subshells are not run"),
        ("cat a # b |", "comments are not known"),
        ("cat 'a |", "no closing quotation; check the quotes"),
        ("RATE=8000 cat a |", "variables are not set: write 'env RATE=8000 ...'"),
        ("| cat", "a command that gives audio ends in"),
        ("|", "a command that gives audio ends in"),
        ("  |  |", "a command that gives audio ends in|a command is missing"),
    ],
)
def test_shell_syntax_is_refused_with_what_to_do(source, message):
    with pytest.raises(DataError, match=f"^{re.escape(source)}: ({message})"):
        run_pipe(source)


def test_a_chain_gives_the_bytes_of_its_last_command(tmp_path):
    path = tmp_path / "a b.bin"
    data = bytes(range(256)) * 5000  # more than a pipe holds
    path.write_bytes(data)
    assert run_pipe(f"cat '{path}' |") == data
    backwards = script("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])")
    assert run_pipe(f"cat '{path}' | {backwards} | cat |") == data[::-1]


def test_a_reader_may_stop_listening():
    assert run_pipe("yes | head -c 6 |") == b"y\ny\ny\n"


def test_a_failing_command_is_named_with_its_status_and_last_words():
    fails = script("import sys; print('one', file=sys.stderr); sys.exit('two')")
    with pytest.raises(DataError, match=rf"{re.escape(fails)} \|: .* exited with status 1: two$"):
        run_pipe(f"{fails} |")
    with pytest.raises(DataError, match=r"\| cat \|: .* exited with status 1: two$"):
        run_pipe(f"{fails} | cat |")
    dies = script("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(DataError, match="was killed by signal 9 and said nothing"):
        run_pipe(f"{dies} |")
    with pytest.raises(DataError, match="no-such-program: no such program on this machine"):
        run_pipe("cat /dev/null | no-such-program |")
    with pytest.raises(DataError, match="the command writes no audio to its standard output"):
        run_pipe("cat /dev/null |")


def test_what_hangs_is_stopped_with_its_children(tmp_path):
    note = tmp_path / "pids"
    # A shell, not Python: it has begun within the 0.7 s on a busy machine too.
    forks = shlex.join(["sh", "-c", f"sleep 600 & echo $$ $! > {shlex.quote(str(note))}; wait"])
    with pytest.raises(DataError, match="has not ended after 0.7 s; it was stopped"):
        run_pipe(f"{forks} | cat |", timeout_s=0.7)
    assert [is_running(int(pid)) for pid in note.read_text().split()] == [False, False]
    assert children() == []


def test_what_a_command_leaves_in_the_background_is_ended(tmp_path):
    note = tmp_path / "pid"
    leaves = script(
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL)\n"
        f"open({str(note)!r}, 'w').write(str(child.pid)); print('audio')"
    )
    assert run_pipe(f"{leaves} |") == b"audio\n"
    assert not is_running(int(note.read_text()))
    assert children() == []


def is_running(pid, patience_s=2.0):
    """Whether a process still runs; one that is only waiting to be reaped does not."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        if state == "Z":
            return False
        time.sleep(0.01)
    return True


def children():
    """Processes that this one has started and not reaped."""
    listing = subprocess.Popen(["ps", "--ppid", str(os.getpid()), "-o", "pid="], stdout=-1)
    found = listing.communicate()[0].split()
    return [int(pid) for pid in found if int(pid) != listing.pid]


@pytest.mark.skipif(not shutil.which("sox"), reason="needs sox")
def test_sox_reads_a_file(tmp_path):
    soundfile.write(tmp_path / "a.wav", [0.25] * 800, 8000)
    data = run_pipe(f"sox {tmp_path}/a.wav -t wav - |")
    assert data[:4] == b"RIFF"


@pytest.mark.skipif(not shutil.which("flac"), reason="needs flac")
def test_flac_decodes_a_file(tmp_path):
    soundfile.write(tmp_path / "a.flac", [0.25] * 800, 8000)
    assert run_pipe(f"flac -c -d -s {tmp_path}/a.flac |")[:4] == b"RIFF"
