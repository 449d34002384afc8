"""Commands as audio sources: ``flac -c -d -s a.flac |`` in ``wav.scp``, run without a shell.

A source that ends in ``|`` is a command whose standard output is the audio. Words are split as a
shell splits them, with quotes and backslashes, and ``a | b |`` is a chain; whatever else a shell
would act upon (variables, wildcards, redirections, lists of commands) is refused, never run.
"""

import contextlib
import os
import select
import shlex
import signal
import subprocess
import tempfile
import time
from typing import BinaryIO

from espnet2.utils.errors import DataError
from espnet2.utils.processes import start

TIMEOUT_S = 600.0  # for the whole chain of one utterance
MAX_BYTES = 2**31  # of output: some 18 hours at 16 kHz; more is a command that does not end
BLOCK_BYTES = 1 << 20
POLL_S = 0.002
_WHAT_TO_DO = {
    "<": "redirections are not run: give the file as an argument",
    ">": "redirections are not run: leave them out (stderr is shown only when the command fails)",
    ";": "only one chain of commands is run: put the steps into a script",
    "&": "only one chain of commands is run, in the foreground: put the steps into a script",
    "(": "subshells are not run: put the steps into a script",
    ")": "subshells are not run: put the steps into a script",
    "$": "variables and $(...) are not expanded: write the value out",
    "`": "backquotes are not run: write the value out",
    "*": "wildcards are not expanded: name the files, or put it in single quotes",
    "?": "wildcards are not expanded: name the files, or put it in single quotes",
    "[": "wildcards are not expanded: name the files, or put it in single quotes",
    "{": "braces are not expanded: write the words out, or put them in single quotes",
    "~": "~ is not expanded: write the path out",
    "#": "comments are not known: leave it out, or put it in single quotes",
    "\n": "a command is one line",
}
_AT_WORD_START = "~#"
_ALSO_IN_DOUBLE_QUOTES = "$`"


def is_pipe(source: str) -> bool:
    """Whether a source of ``wav.scp`` is a command (or, with a leading bar, would be one)."""
    stripped = source.strip()
    return stripped.endswith("|") or stripped.startswith("|")


def parse_pipe(source: str) -> list[list[str]]:
    """The argument lists of the commands of ``a | b |``, in order.

    Raises:
        DataError: shell syntax that is not run, open quotes, or a command that is missing.
    """
    text = source.strip()
    if text.startswith("|") or not text.endswith("|"):
        raise DataError(f"{source}: a command that gives audio ends in '|' and begins with a name")
    parts = _parts(source, text[:-1])
    try:
        commands = [shlex.split(part) for part in parts]
    except ValueError as error:
        raise DataError(f"{source}: {str(error).lower()}; check the quotes") from None
    if not all(commands):
        raise DataError(f"{source}: a command is missing beside '|' ('||' is not run)")
    for command in commands:
        if "=" in command[0] and command[0].partition("=")[0].isidentifier():
            raise DataError(f"{source}: variables are not set: write 'env {command[0]} ...'")
    return commands


def _parts(source: str, text: str) -> list[str]:
    """``text`` cut at its unquoted bars. Raises DataError for other unquoted shell syntax."""
    parts, quote, i, word_starts = [""], "", 0, True
    while i < len(text):
        char, step = text[i], 1
        if char == "\\" and quote != "'" and not (quote and text[i + 1 : i + 2] in ("$", "`")):
            step = 2
        elif char in "\"'" and quote in ("", char):
            quote = "" if quote else char
        elif _is_shell_syntax(char, quote, word_starts):
            raise DataError(f"{source}: {_WHAT_TO_DO[char]}")
        if char == "|" and not quote:
            parts.append("")
        else:
            parts[-1] += text[i : i + step]
        word_starts = not quote and char in " \t|"
        i += step
    return parts


def _is_shell_syntax(char: str, quote: str, word_starts: bool) -> bool:
    """Whether a shell would act upon ``char`` where it stands."""
    if quote:
        return quote == '"' and char in _ALSO_IN_DOUBLE_QUOTES
    return char in _WHAT_TO_DO and (word_starts or char not in _AT_WORD_START)


def run_pipe(source: str, timeout_s: float = TIMEOUT_S) -> bytes:
    """What the chain of commands writes to its standard output.

    Raises:
        DataError: naming ``source``: it cannot be run, fails (with its status and last line of
            stderr), takes longer than ``timeout_s``, writes nothing or does not stop writing.
    """
    commands, deadline = parse_pipe(source), time.monotonic() + timeout_s
    children: list[subprocess.Popen] = []
    with contextlib.ExitStack() as stack:
        stack.callback(_end, children)
        errors = [stack.enter_context(tempfile.TemporaryFile()) for _ in commands]
        for command, stderr in zip(commands, errors, strict=True):
            children.append(_start(source, command, children, stderr))
        data = _read(source, children[-1].stdout, deadline, timeout_s)
        for child in children:
            _wait(source, child, deadline, timeout_s)
        _end(children)
        for child, command, stderr in zip(children, commands, errors, strict=True):
            # Who is no longer listened to ends by SIGPIPE: `sox ... | head -c 1000 |` is fine.
            unheard = child is not children[-1] and child.returncode == -signal.SIGPIPE
            if child.returncode != 0 and not unheard:
                raise DataError(f"{source}: {command[0]} {_failure(child.returncode, stderr)}")
    if not data:
        raise DataError(f"{source}: the command writes no audio to its standard output")
    return data


def _start(
    source: str, command: list[str], before: list[subprocess.Popen], stderr: BinaryIO
) -> subprocess.Popen:
    """The next process of a chain, leader of a group of its own so that its children end too."""
    stdin = before[-1].stdout if before else subprocess.DEVNULL
    try:
        child = start(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
        )
    except FileNotFoundError:
        raise DataError(f"{source}: {command[0]}: no such program on this machine") from None
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise DataError(f"{source}: {command[0]} cannot be started: {error}") from None
    if before:
        before[-1].stdout.close()  # so that the writer notices when its reader ends
    return child


def _read(source: str, stdout: BinaryIO, deadline: float, timeout_s: float) -> bytes:
    """All that the last process writes, until ``deadline``."""
    blocks, size, poller = [], 0, select.poll()
    poller.register(stdout, select.POLLIN)
    while size <= MAX_BYTES:
        if not poller.poll(max(deadline - time.monotonic(), 0) * 1000):
            raise DataError(f"{source}: has not ended after {timeout_s:g} s; it was stopped")
        block = os.read(stdout.fileno(), BLOCK_BYTES)
        if not block:
            return b"".join(blocks)
        blocks.append(block)
        size += len(block)
    raise DataError(f"{source}: writes more than {MAX_BYTES:,} bytes; it was stopped")


def _wait(source: str, child: subprocess.Popen, deadline: float, timeout_s: float) -> None:
    """Wait until ``child`` has ended, but leave it for :func:`_end` to reap."""
    peek = os.WEXITED | os.WNOWAIT | os.WNOHANG
    while os.waitid(os.P_PID, child.pid, peek) is None:
        if time.monotonic() > deadline:
            raise DataError(f"{source}: has not ended after {timeout_s:g} s; it was stopped")
        time.sleep(POLL_S)


def _end(children: list[subprocess.Popen]) -> None:
    """Kill what still runs of each process's group, and reap the process.

    A group is named by its first process, and while that is not reaped its number is not reused.
    """
    for child in children:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        child.stdout.close()


def _failure(status: int, stderr: BinaryIO) -> str:
    """How a process failed, with the last line it wrote to stderr."""
    stderr.seek(max(stderr.seek(0, os.SEEK_END) - 4096, 0))
    lines = stderr.read().decode("utf-8", "replace").strip().splitlines()
    what = f"exited with status {status}" if status > 0 else f"was killed by signal {-status}"
    return f"{what}: {lines[-1].strip()}" if lines else f"{what} and said nothing"
