"""The command: two sets and a transcript in, a CTM and what became of each language out."""

import json

import pytest
from sung_letters import choir, make_sung, read_ctm, write_text

from espnet2.bin.align_text import main


@pytest.fixture
def folder(tmp_path):
    """FOLDER/{dump/valid,text} of eight sung utterances."""
    clips, texts, _ = choir()
    make_sung(tmp_path / "dump", clips)
    write_text(tmp_path / "text", texts | {"eng-7": "77"})
    return tmp_path


def command(folder, out):
    return ["--index", str(folder / "dump/valid"), "--text", str(folder / "text"),
            "--out", str(folder / out)]  # fmt: skip


def test_it_writes_the_ctm_what_was_left_out_and_a_summary(folder, capsys):
    assert main(command(folder, "align/out.ctm")) == 0
    assert len(read_ctm(folder / "align/out.ctm")) == 7
    assert (folder / "align/out.ctm.dropped.tsv").read_text().splitlines()[1:] == [
        "eng-7\tno letters\t77"
    ]
    summary = json.loads((folder / "align/out.ctm.json").read_text())
    assert (summary["aligned"], summary["left_out"]) == (7, {"no letters": 1})
    assert summary["languages"]["eng"]["trained_on"] == 7
    assert "7 utterances, languages: 1; left out: no letters 1" in capsys.readouterr().err


def test_two_runs_give_the_same_bytes(folder):
    for out in ("one.ctm", "two.ctm"):
        main(command(folder, out))
    assert (folder / "one.ctm").read_bytes() == (folder / "two.ctm").read_bytes()
