"""The --help of every command: comes at once, and says the same things in the same way."""

import argparse
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from espnet2.bin.bench import KINDS
from espnet2.bin.xeus import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in (ROOT / "espnet2/bin").glob("*.py") if path.stem[0] != "_")
METAVARS = {
    "FILE", "DIR", "N", "S", "K", "NAME", "NAMES", "TAG", "CODE", "TOKEN", "ARM", "STEP", "HOURS",
    "EXP", "KIND", "PART", "COMMAND", "SECTION.KEY=VALUE", "N|last|final|all",
}  # fmt: skip
CHECK = """
import sys
from importlib import import_module
try:
    import_module("espnet2.bin." + sys.argv.pop(1)).main(["--help"])
except SystemExit:
    print("torch" in sys.modules, file=sys.stderr)
"""


class Parsed(Exception):
    """Raised in place of going on with the command."""


@pytest.fixture
def parser_of(monkeypatch):
    """Gives parser_of(name, words=None): the parser; with words, after it took them."""
    seen = []
    parse = argparse.ArgumentParser.parse_args

    def stop(self, words=None, namespace=None):
        seen.append(self)
        if wanted[0] is not None:
            parse(self, wanted[0])
        raise Parsed

    wanted = [None]
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)

    def get(name, words=None):
        wanted[0] = words or None
        with pytest.raises(Parsed):
            importlib.import_module(f"espnet2.bin.{name}").main(words or [])
        return seen[-1]

    return get


@pytest.mark.parametrize("name", NAMES)
def test_help_comes_without_waiting_for_torch(name):
    command = [sys.executable, "-c", CHECK, name]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.stderr == "False\n"
    assert result.stdout.startswith("usage: ")
    assert all(len(line) <= 100 for line in result.stdout.splitlines())


@pytest.mark.parametrize("name", NAMES)
def test_help_begins_with_a_sentence_and_ends_with_examples(name, parser_of):
    parser = parser_of(name)
    first, empty, *_ = [*parser.description.split("\n"), ""]
    assert re.fullmatch(r"[A-Z].{20,98}\.", first), first
    assert empty == ""
    heading, *examples = parser.epilog.split("\n")
    assert heading == "examples:"
    assert examples
    assert all(line.startswith("  ") for line in examples)
    assert parser.format_help().endswith("\n".join(["examples:", *examples, ""]))
    assert not parser.allow_abbrev


def examples_of(text):
    """The commands in the last part of a help, as (module, words)."""
    for line in text.partition("examples:\n")[2].replace("\\\n", " ").splitlines():
        words = shlex.split(line.partition(" > ")[0], comments=True)
        if words[0] == "xeus":
            yield (COMMANDS[words[1]][0], words[2:])
        else:
            assert words[:2] == ["python3", "-m"], line
            yield (words[2].removeprefix("espnet2.bin."), words[3:])


@pytest.mark.parametrize("name", NAMES)
def test_its_own_parser_takes_every_example(name, parser_of, monkeypatch):
    examples = list(examples_of(parser_of(name).epilog + "\n"))
    assert {module for module, _ in examples} == {name} or name == "xeus"
    for module, words in examples:
        parser_of(module, words)


def options_of(parser):
    """Every option of a parser and of those inside it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from options_of(inner)
        elif action.dest != "help":
            yield action


# bench names the options of a kind only where that kind is asked for.
CALLS = [(name, []) for name in NAMES] + [("bench", [kind]) for kind in KINDS]


@pytest.mark.parametrize(("name", "words"), CALLS, ids=str)
def test_every_option_is_explained_in_the_same_way(name, words, parser_of):
    parser = parser_of(name, words)
    for action in options_of(parser):
        where = f"{name}: {action.option_strings or action.dest}"
        assert action.help, where
        assert not action.help.endswith("."), where
        assert "  " not in action.help, where
        if action.nargs == 0 or (action.choices and action.metavar != "PART"):
            assert action.metavar is None, where
        else:
            assert action.metavar in METAVARS, where
        if action.option_strings and action.nargs != 0 and not action.required:
            is_list = isinstance(action, argparse._AppendAction)
            assert "default" in action.help or is_list or is_in_group(parser, action), where
        assert all(re.fullmatch(r"--[a-z0-9_]+", text) for text in action.option_strings), where


def is_in_group(parser, action):
    """Whether one of a group must be given, so that there is no default."""
    groups = parser._mutually_exclusive_groups
    return any(group.required and action in group._group_actions for group in groups)


SAME = ("--wav", "--wav_scp", "--segments", "--device", "--batch_seconds", "--conf", "--set",
        "--nj", "--ngpu", "--cluster", "--log_dir")  # fmt: skip


def test_an_option_of_several_commands_is_one_option(parser_of):
    found = {}
    for name in set(NAMES) - {"training_dynamics", "bench"}:  # whose --device is their own
        for action in options_of(parser_of(name)):
            for text in set(action.option_strings) & set(SAME):
                # What follows the default is a command's own note.
                form = re.sub(r"default: \d+\).*", "default: N)", action.help), action.metavar
                found.setdefault((text, form), []).append(name)
    assert sorted(text for text, _ in found) == sorted(SAME)


def test_inputs_stand_before_outputs_and_outputs_before_settings(parser_of):
    for name in ("extract_features", "tokens", "lid", "transcribe"):
        options = [action.option_strings[0] for action in options_of(parser_of(name))]
        places = [options.index(o) for o in ("--wav", "--wav_scp", "--segments", "--out",
                                             "--device", "--batch_seconds")]  # fmt: skip
        assert places == sorted(places)
