"""Shell blocks of the documentation: their commands, and the same program as a dry run."""

import importlib
import io
import re
import shlex
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import cache

from documents import ROOT

DRIVERS = ("run.sh", "ssl.sh", "noise_arms.sh")
HEREDOC = re.compile(r"<<'?(\w+)'?")
# Run as they are: they only make small files or name things.
HARMLESS = {"mkdir", "cat", "chmod", "cd", "for", "do", "done", "cp", "export"}
ASSIGNMENT = re.compile(r"^\w+\+?=")
# Programs of others and the options of theirs that the documents use.
FOREIGN = {
    "hf": {"--repo-type", "--local-dir"},
    "pip": set(),
    "git": set(),
    "mv": set(),  # of what hf fetched
}
# Modules that run in ESPnet's or s3prl's environment with their options; test_espnet_client.py and
# test_s3prl_peer.py in test/peer run those blocks.
PEER_MODULES = {
    "espnet2.bin.tokenize_text",
    "espnet2.bin.asr_train",
    "espnet2.bin.ssl_train",
    "espnet2.s3prl",
}


def lines_of(text):
    """(line, is_command) of a block: continued lines joined, bodies of here-documents told."""
    end, pending = None, ""
    for line in text.splitlines():
        if end is not None:
            yield line, False
            end = None if line == end else end
            continue
        pending += line
        if pending.endswith("\\") or pending.count("(") > pending.count(")"):
            pending = pending.removesuffix("\\") + " "
            continue
        here = HEREDOC.search(pending)
        end = here[1] if here else None
        yield pending, True
        pending = ""


def commands_of(text):
    """The words of every command of a block."""
    for line, is_command in lines_of(text):
        if not is_command:
            continue
        for part in re.split(r"&&|\|\||; ", line):
            words = shlex.split(part, comments=True)
            if words:
                yield words


def dry(text):
    """The block as a program that writes nothing but its own small files.

    Drivers get --dry_run; other programs stay out (their options are checked elsewhere).
    """
    program = []
    for line, is_command in lines_of(text):
        words = shlex.split(line, comments=True) if is_command else []
        first = words[0] if words else ""
        if not is_command or not words or first in HARMLESS - {"cd"} or ASSIGNMENT.match(first):
            program.append(line)
        elif first.endswith(DRIVERS):
            program += [f"{shlex.join(words)} --dry_run" for words in commands_of(line)]
        elif first == "cd":
            program.append(line.split("&&")[0])  # without what enters an environment
        else:
            program.append(":")
    return "\n".join(program)


@cache
def help_of(module):
    """What ``python3 -m MODULE --help`` prints."""
    name, *kind = module.split(" ")
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out), suppress(SystemExit):
        importlib.import_module(name).main([*kind, "--help"])
    return out.getvalue()


def options_of(help_text):
    """Every --option in a help text."""
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]*", help_text))


def help_of_script(path):
    """The comment at the top of a shell script, which is its help."""
    return "".join(re.findall(r"^#.*\n", (ROOT / path).read_text(), flags=re.M))
