"""The largest batch that fits is found by trying, and the memory it may take is a real limit."""

import re
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_dump import TAG, make_dump, write_recipe

from espnet2.train.find_batch import (
    FINE,
    NO_MEMORY,
    find_batch,
    memory_limited,
    most_rows,
    taken_bytes,
)


@settings(deadline=None)
@given(limit=st.integers(0, 3000), most=st.integers(1, 2000))
def test_the_search_ends_within_a_twentieth_of_the_limit(limit, most):
    tried = []

    def fits(rows):
        tried.append(rows)
        return rows <= limit

    rows = most_rows(fits, most)
    assert rows <= min(limit, most)
    assert min(limit, most) - rows <= max(1, FINE * rows) - (1 if rows < most else 0)
    assert max(tried) <= most
    assert len(tried) <= 20


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    return make_dump(tmp_path_factory.mktemp("find_batch"))


def test_what_is_held_counts_against_the_limit_of_every_trial():
    cpu, part = torch.device("cpu"), 2**28
    most = taken_bytes(cpu) + 1.5 * part
    with memory_limited(cpu, most):
        held = torch.empty(part, dtype=torch.uint8)  # as the optimiser takes its means
    with memory_limited(cpu, most), pytest.raises(RuntimeError) as error:
        torch.empty(held.numel(), dtype=torch.uint8)
    assert any(word in str(error.value).lower() for word in NO_MEMORY)


# In a process of its own: oneDNN remembers a kernel that it once had no memory for.
NEARLY_FULL = """
import sys
from pathlib import Path
from espnet2.train import find_batch as module
from espnet2.utils.cli import run_main
module.free_bytes = lambda device: 2**20
run_main(lambda: module.find_batch(Path(sys.argv[1]), [], Path(sys.argv[2]), sys.argv[3], 0, 2))
"""


def test_what_does_not_fit_into_the_memory_is_refused_with_advice(dump, tmp_path):
    recipe = write_recipe(tmp_path / "recipe.yaml")
    command = [sys.executable, "-c", NEARLY_FULL, str(recipe), str(dump), TAG]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert re.search(
        r"not one row of 0\.\d s fits into 0\.0 GiB; set encoder_conf\.activation", last
    )


def test_where_everything_fits_it_is_told_what_accumulation_it_takes(dump, tmp_path, capsys):
    recipe = write_recipe(tmp_path / "recipe.yaml")
    found = find_batch(recipe, [], dump, TAG, 0, 2)
    assert found["accum_grad"] == 1
    assert found["seconds"] == pytest.approx(8 * found["batch_seconds"])
    assert "or more rows of the longest bucket" in capsys.readouterr().err
