import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from espnet2.utils.errors import DataError
from espnet2.utils.units import Unit, is_done, result_of, run_units

WORK = """
import os, time
from pathlib import Path

def copy(source: Path, out: Path, times: int) -> dict:
    out.write_text(source.read_text() * times)
    return {"characters": len(out.read_text())}

def fail(out: Path) -> None:
    raise OSError(28, "No space left on device", str(out))

def sleep(out: Path) -> None:
    out.with_suffix(".pid").write_text(str(os.getpid()))
    time.sleep(60)
"""


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    (tmp_path / "unitwork.py").write_text(WORK)
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).resolve().parents[2])])
    monkeypatch.setenv("PYTHONPATH", paths)
    (tmp_path / "in.txt").write_text("ab")
    return tmp_path


def options(folder, nj=1):
    return argparse.Namespace(nj=nj, cluster="local", cluster_conf=None, log_dir=folder / "log")


def copy_unit(folder, times=2, name="copy"):
    out = folder / f"{name}.txt"
    return Unit(
        name=name,
        entry="unitwork:copy",
        kwargs={"source": folder / "in.txt", "out": out, "times": times},
        marker=folder / f".{name}.done",
        inputs=[folder / "in.txt"],
        options={"times": times},
        outputs=[out],
    )


def test_a_unit_runs_once_and_is_then_up_to_date(workplace, capfd):
    assert run_units([copy_unit(workplace)], options(workplace)) == 0
    assert (workplace / "copy.txt").read_text() == "abab"
    assert result_of(copy_unit(workplace)) == {"characters": 4}
    assert run_units([copy_unit(workplace)], options(workplace)) == 0
    assert "up to date (1 unit)" in capfd.readouterr().err


def test_changed_options_inputs_or_lost_outputs_undo_a_unit(workplace):
    run_units([copy_unit(workplace)], options(workplace))
    assert is_done(copy_unit(workplace))
    assert not is_done(copy_unit(workplace, times=3))
    (workplace / "in.txt").write_text("cd")
    assert not is_done(copy_unit(workplace))
    (workplace / "in.txt").write_text("ab")
    assert is_done(copy_unit(workplace))
    (workplace / "copy.txt").unlink()
    assert not is_done(copy_unit(workplace))


def test_a_failed_unit_is_named_with_its_last_line_and_the_others_still_run(workplace, capfd):
    bad = Unit(
        name="bad",
        entry="unitwork:fail",
        kwargs={"out": workplace / "x"},
        marker=workplace / ".bad.done",
    )
    assert run_units([bad, copy_unit(workplace)], options(workplace, nj=2)) == 1
    err = capfd.readouterr().err
    assert "bad failed: work: error: the disk is full while writing" in err
    assert "redo it alone: python3 -m espnet2.utils.work" in err
    assert is_done(copy_unit(workplace))
    assert not is_done(bad)


def test_a_missing_input_is_refused_by_name(workplace):
    (workplace / "in.txt").unlink()
    with pytest.raises(DataError, match=r"copy needs .*in.txt, which is missing"):
        run_units([copy_unit(workplace)], options(workplace))


def test_a_killed_driver_takes_its_workers_along(workplace):
    script = f"""
import argparse
from pathlib import Path
from espnet2.utils.units import Unit, run_units
folder = Path({str(workplace)!r})
unit = Unit(name="s", entry="unitwork:sleep", kwargs={{"out": folder / "s"}}, marker=folder / ".s")
run_units([unit], argparse.Namespace(nj=1, cluster="local", log_dir=folder / "log"))
"""
    driver = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    pid_file = workplace / "s.pid"
    wait_for(lambda: pid_file.exists() and pid_file.read_text())
    worker = int(pid_file.read_text())
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    wait_for(lambda: has_ended(worker))
    assert has_ended(worker)


def has_ended(pid):
    return not Path(f"/proc/{pid}").exists() or is_zombie(pid)


def is_zombie(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def wait_for(condition, limit_s=20):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "gave up waiting"
        time.sleep(0.02)
