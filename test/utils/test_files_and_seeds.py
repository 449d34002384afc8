import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from espnet2.utils.files import _cleaned, atomic_path, read_json, write_json, write_text
from espnet2.utils.seeding import numbers_for, rng_for, seed_for


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path):
    program = f"""
import os, signal
from pathlib import Path
from espnet2.utils.files import atomic_path
with atomic_path(Path({str(tmp_path)!r}) / "another name.txt") as part:
    part.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen([sys.executable, "-c", program], cwd=root)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{child.pid}").exists()  # its number is not free yet, as after any kill
    assert len(os.listdir(tmp_path)) == 1
    write_text(tmp_path / "a.txt", "whole")
    assert os.listdir(tmp_path) == ["a.txt"]
    child.wait()


def test_what_a_running_process_writes_stays(tmp_path):
    with atomic_path(tmp_path / "a.txt") as part:
        part.write_text("half")
        _cleaned.clear()
        write_text(tmp_path / "b.txt", "another file")
        assert part.exists()
    assert (tmp_path / "a.txt").read_text() == "half"


def test_unchanged_content_leaves_the_file_untouched(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"b": 1})
    os.utime(path, (0, 0))
    write_json(path, {"b": 1})
    assert path.stat().st_mtime == 0
    write_json(path, {"b": 2})
    assert path.stat().st_mtime > 0


def test_damaged_json_is_refused_with_its_line(tmp_path):
    (tmp_path / "a.json").write_text('{"a":\n1,')
    with pytest.raises(ValueError, match=r"a.json:2 is not valid JSON"):
        read_json(tmp_path / "a.json")


def test_draws_depend_on_names_only():
    first = rng_for(1, "crop", 0, "utt").random(3)
    rng_for(1, "noise", 0, "utt").random(9)
    assert (rng_for(1, "crop", 0, "utt").random(3) == first).all()
    assert seed_for(1, "crop", 0, "utt") != seed_for(2, "crop", 0, "utt")
    assert seed_for(1, "a", "bc") != seed_for(1, "ab", "c")
    assert 0 <= seed_for(7, "x") < 2**63


def test_numbers_of_rows_are_those_of_splitmix64_for_any_order():
    rows = np.array([2, 0, 1])
    published = [0x06C45D188009454F, 0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]  # seed 0, by number
    assert numbers_for(rows, np.zeros(3, np.uint64)).tolist() == published
    assert numbers_for(rows, np.uint64(0)).tolist() == published
    keys = np.array([0, 5, 0], np.uint64)
    assert numbers_for(rows, keys)[[0, 2]].tolist() == [published[0], published[2]]
    assert numbers_for(rows, keys)[1] != published[1]
