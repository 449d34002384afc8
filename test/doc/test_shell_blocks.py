"""Shell blocks of every document.

Each document's blocks run in their order, as one program in a copy of the checkout, with --dry_run
behind every recipe: a recipe takes minutes to days, and a dry run checks its options, paths and
configuration. Programs that are no recipe stay out of that run; their names and options are held
against their own --help. What is run for real: the README's features (test_readme.py), a corpus of
one's own (test_add_a_corpus.py), the mini recipe (test/integration), ESPnet's side (test/peer).
"""

import os
import re
import subprocess
import sys

import pytest
from documents import DOCUMENTS, HISTORY, ROOT, blocks
from shell_blocks import (
    ASSIGNMENT,
    DRIVERS,
    FOREIGN,
    HARMLESS,
    PEER_MODULES,
    commands_of,
    dry,
    help_of,
    help_of_script,
    options_of,
)

from espnet2.bin.xeus import COMMANDS

SHELL = [block for path in DOCUMENTS if path not in HISTORY for block in blocks(path, "bash")]
STARTED = ("xeus", "tools/install.sh", "python3")
WITH_SHELL = sorted({block.document for block in SHELL})


@pytest.mark.parametrize("document", WITH_SHELL)
def test_blocks_of_a_document_dry_run_in_order(document, checkout):
    parts = [f"(cd {str(checkout)!r}\n{dry(b.text)}\n)" for b in SHELL if b.document == document]
    environment = {**os.environ, "XEUS_PYTHON": sys.executable}
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(parts)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    drivers = sum(
        words[0].endswith(DRIVERS)
        for b in SHELL
        if b.document == document
        for words in commands_of(b.text)
    )
    assert result.stdout.count("check_install.py") >= drivers


def problems(words):
    """What of a command is not there: the program, or an option of its."""
    if words[0] == "srun":  # the program it starts is behind its own options
        words = words[next(i for i, word in enumerate(words) if word in STARTED) :]
    name, *rest = words
    given = {word.split("=")[0] for word in rest if re.match(r"--[a-z]", word)}
    if name in ("python3", "torchrun"):
        if "-m" not in rest:
            return [] if rest and (ROOT / rest[0]).exists() else [name]
        module = rest[rest.index("-m") + 1]
        if module in PEER_MODULES:
            return []
        if module == "espnet2.bin.bench":
            module += f" {rest[rest.index('-m') + 2]}"
        given = {w.split("=")[0] for w in rest[rest.index("-m") :] if re.match(r"--[a-z]", w)}
        return sorted(given - options_of(help_of(module)))
    if name == "xeus":
        if rest[0] not in COMMANDS:
            return [rest[0]]
        module = f"espnet2.bin.{COMMANDS[rest[0]][0]}"
        if rest[0] == "bench":
            module += f" {rest[1]}"
        return sorted(given - options_of(help_of(module)))
    if name in FOREIGN:
        return sorted(given - FOREIGN[name])
    if (ROOT / name).is_file() and name.endswith(".sh"):
        return [] if name.endswith(DRIVERS) else sorted(given - options_of(help_of_script(name)))
    if name.endswith(DRIVERS):  # one that a block makes, or ./run.sh: the dry run knows
        return []
    return [] if name in HARMLESS or name == "." or ASSIGNMENT.match(name) else [name]


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.name)
def test_programs_and_options_of_a_block_exist(block):
    found = [problem for words in commands_of(block.text) for problem in problems(words)]
    assert found == []


def test_an_option_that_is_not_there_is_found_out():
    assert problems(["tools/install.sh", "--with_everything"]) == ["--with_everything"]
    assert problems(["xeus", "features", "--chekpoint", "a.pth"]) == ["--chekpoint"]
    assert problems(["python3", "-m", "espnet2.bin.plan", "--dump=d", "--dmup"]) == ["--dmup"]
    assert problems(["nothing_of_ours"]) == ["nothing_of_ours"]


def test_every_block_is_run_or_is_no_program():
    documents = {}
    for path in DOCUMENTS:
        for block in blocks(path):
            documents.setdefault(block.language, set()).add(path)
    assert set(documents) <= {"bash", "python", "text", ""}
    # Python is run by test_readme.py, test_pages_of_others.py and, in ESPnet and s3prl themselves,
    # by test/peer/test_espnet_client.py and test_s3prl_peer.py.
    assert documents["python"] <= {
        "README.md", "egs2/README.md", "doc/hugging_face.md", "doc/s3prl.md",
    }  # fmt: skip
    # What a report shows of its run: layer weights and settings.
    assert documents[""] == {"egs2/mini/ssl1/RESULTS.md"}
