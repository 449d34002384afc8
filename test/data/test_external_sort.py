"""Lines sorted on disk: in C order, whatever fits in memory."""

import subprocess
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2.data.external_sort import MAX_RUNS, sorted_lines

lines = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=6))


@settings(deadline=None)
@given(lines, st.sampled_from([1, 200, 2**20]))
def test_lines_come_in_the_order_of_their_bytes(texts, run_chars):
    expected = sorted(texts, key=lambda text: text.encode())
    assert list(sorted_lines(iter(texts), run_chars=run_chars)) == expected


def test_more_runs_than_are_merged_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    texts = [f"{i * 7919 % 10007} é" for i in range(5 * MAX_RUNS)]
    stream = sorted_lines(texts, run_chars=100)
    first = next(stream)
    assert len(list(tmp_path.glob("xeus_sort.*/*"))) < MAX_RUNS
    (tmp_path / "list").write_text("".join(text + "\n" for text in texts))
    command = ["sort", str(tmp_path / "list")]
    listing = subprocess.run(command, env={"LC_ALL": "C"}, capture_output=True, check=True)
    assert [first, *stream] == listing.stdout.decode().splitlines()
    assert list(tmp_path.glob("xeus_sort.*")) == []
