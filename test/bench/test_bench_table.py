"""Tables of a benchmark, and the file that keeps them."""

import platform
import re

import pytest
import torch

from espnet2.bench.table import Table, append, entry, markdown
from espnet2.utils.provenance import provenance

TABLE = Table(
    title="Ours beside theirs",
    columns=("what", "ratio"),
    rows=(("encode", "2.00 × as fast"), ("a|b", "1")),
    notes=("One thread.", "Two rounds."),
)


def test_a_table_is_markdown_with_its_notes_below():
    assert markdown(TABLE).splitlines() == [
        "### Ours beside theirs",
        "",
        "| what | ratio |",
        "| --- | --- |",
        "| encode | 2.00 × as fast |",
        "| a\\|b | 1 |",
        "",
        "- One thread.",
        "- Two rounds.",
    ]


def test_a_row_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"table 'x': a row must have 2 cells, got \('one',\)"):
        Table(title="x", columns=("a", "b"), rows=(("one",),))


def test_an_entry_says_when_what_and_where_it_was_measured():
    lines = entry([TABLE, TABLE], "python3 -m espnet2.bin.bench model", provenance()).splitlines()
    assert re.fullmatch(r"## \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+", lines[0])
    assert lines[2] == "- command: `python3 -m espnet2.bin.bench model`"
    assert re.fullmatch(r"- commit: ([0-9a-f]{12}(\+changes)?|unknown)", lines[3])
    assert re.fullmatch(r"- hardware: .+, \d+ cores, \d+ GiB; .+", lines[4])
    assert lines[4].endswith("no GPU") != torch.cuda.is_available()
    assert lines[5] == f"- software: Python {platform.python_version()}, torch {torch.__version__}"
    assert lines.count("### Ours beside theirs") == 2


def test_runs_are_added_at_the_end_and_the_head_of_the_file_stays(tmp_path):
    path = tmp_path / "BENCHMARKS.md"
    path.write_text("# Benchmarks\n\nHead.\n")
    append("## first\n", path)
    append("## second\n", path)
    assert path.read_text() == "# Benchmarks\n\nHead.\n\n## first\n\n## second\n"
    assert [one.name for one in tmp_path.iterdir()] == ["BENCHMARKS.md"]


def test_the_first_run_makes_the_file(tmp_path):
    append("## first\n", tmp_path / "new.md")
    assert (tmp_path / "new.md").read_text() == "## first\n"
