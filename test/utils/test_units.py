import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_units import copy_unit, options, plain_unit

from espnet2.utils import launch_local
from espnet2.utils import units as units_module
from espnet2.utils.errors import DataError
from espnet2.utils.units import NAMED, is_done, name_failed, result_of, run_units

HERE = Path(__file__).parent
DRIVER = """
import sys
from pathlib import Path
from toy_units import copy_unit, options, plain_unit
from espnet2.utils.units import run_units
folder = Path({folder!r})
sys.exit(run_units([{units}], options(folder)))
"""


def start_driver(workplace, units, **environment):
    """A driver in a process of its own; ``units`` is the text of its list."""
    paths = os.pathsep.join([str(HERE), os.environ["PYTHONPATH"]])
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER.format(folder=str(workplace), units=units)],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        stderr=subprocess.PIPE,
        text=True,
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


def test_a_damaged_marker_is_no_marker(workplace):
    run_units([copy_unit(workplace)], options(workplace))
    copy_unit(workplace).marker.write_text('{"fingerprint": "ab')
    assert not is_done(copy_unit(workplace))
    assert run_units([copy_unit(workplace)], options(workplace)) == 0
    assert is_done(copy_unit(workplace))


def test_several_units_say_now_and_then_how_many_have_ended(workplace, capfd, monkeypatch):
    monkeypatch.setattr(launch_local, "SAID_EVERY_S", 0.0)
    units = [copy_unit(workplace, name=name) for name in ("one", "two")]
    assert run_units(units, options(workplace)) == 0
    said = capfd.readouterr().err
    assert "0 of 2 units have ended, 0 of them failed" in said
    assert "2 of 2 units have ended, 0 of them failed" in said


def test_a_failed_unit_is_named_with_its_last_line_and_the_others_still_run(workplace, capfd):
    bad = plain_unit(workplace, "fail")
    assert run_units([bad, copy_unit(workplace)], options(workplace, nj=2)) == 1
    assert "fail failed: work: error: the disk is full while writing" in capfd.readouterr().err
    assert is_done(copy_unit(workplace))
    assert not is_done(bad)


def test_the_command_that_redoes_a_unit_works_from_anywhere(workplace, capfd, monkeypatch):
    place = workplace / "my data"
    place.mkdir()
    monkeypatch.chdir(place)
    Path("in.txt").write_text("ab")
    Path("copy.txt").mkdir()  # in the unit's way
    assert run_units([copy_unit(Path("."))], options(Path("."))) == 1
    Path("copy.txt").rmdir()
    command = shlex.split(capfd.readouterr().err.partition("redo it alone: ")[2])
    monkeypatch.chdir("/")
    subprocess.run(command, check=True)
    assert (place / "copy.txt").read_text() == "abab"


def test_a_unit_that_is_redone_by_hand_has_one_thread_as_its_stage_gave_it(workplace, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert run_units([plain_unit(workplace, "describe")], options(workplace)) == 0
    described = (workplace / "describe.txt").read_text()
    assert described.splitlines()[1] == "1"
    for file in (workplace / "describe.txt", plain_unit(workplace, "describe").marker):
        file.unlink()
    specs = list((workplace / "log").glob("*.json"))
    subprocess.run(launch_local.work_command(*specs), check=True)
    assert (workplace / "describe.txt").read_text() == described


def test_a_missing_input_is_refused_by_name(workplace):
    (workplace / "in.txt").unlink()
    with pytest.raises(DataError, match=r"copy needs .*in.txt, which is missing"):
        run_units([copy_unit(workplace)], options(workplace))


def test_of_very_many_failed_units_most_are_named_in_a_file(tmp_path, capfd):
    failed = [(tmp_path / f"u{i}.json", "work: error: no") for i in range(NAMED + 5)]
    name_failed(failed, tmp_path)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2 * NAMED + 1
    assert lines[-1].endswith(f"{NAMED + 5} units failed; all of them are in {tmp_path}/failed.txt")
    assert (tmp_path / "failed.txt").read_text().count("redo it alone") == NAMED + 5


def test_a_file_that_many_units_share_is_hashed_once(workplace, monkeypatch):
    hashed = []
    count = units_module.sha256_file
    monkeypatch.setattr(units_module, "sha256_file", lambda p: hashed.append(p) or count(p))
    os.utime(workplace / "in.txt", (1e9, 1e9))
    prints = {units_module.fingerprint(copy_unit(workplace, name=f"c{i}")) for i in range(50)}
    assert (len(hashed), len(prints)) == (1, 1)
    (workplace / "in.txt").write_text("cd")
    assert units_module.fingerprint(copy_unit(workplace)) not in prints


def test_specs_are_written_for_pending_units_only(workplace):
    units = [copy_unit(workplace, name=f"c{i}") for i in range(3)]
    run_units(units[:2], options(workplace))
    for path in (workplace / "log").glob("*.json"):
        path.unlink()
    run_units(iter(units), options(workplace))
    assert [path.name for path in (workplace / "log").glob("*.json")] == ["c2.json"]


def test_ten_thousand_done_units_are_checked_in_seconds(workplace, capfd):
    units = [copy_unit(workplace, name=f"c{i}") for i in range(10_000)]
    marker = {"fingerprint": units_module.fingerprint(units[0]), "outputs": ["in.txt"]}
    for unit in units:
        unit.marker.write_text(json.dumps(marker))
    began = time.process_time()
    assert run_units(iter(units), options(workplace)) == 0
    assert time.process_time() - began < 5
    assert "up to date (10,000 units)" in capfd.readouterr().err


def test_two_drivers_at_once_do_a_unit_once(workplace):
    units = "copy_unit(folder)"
    drivers = [start_driver(workplace, units, TOY_SLEEP="1.5") for _ in range(2)]
    errors = [driver.communicate(timeout=30)[1] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], errors
    assert (workplace / "copy.begun").read_text() == "once "
    assert (workplace / "copy.txt").read_text() == "abab"
    waited = "copy is being done by another process; waiting for its end" in "".join(errors)
    assert waited or "up to date" in "".join(errors)  # a slow one came when all was over


def test_a_killed_driver_takes_its_workers_along_and_leaves_no_lock_behind(workplace):
    units = [f'plain_unit(folder, "sleep", "{name}", together=2)' for name in ("sleep", "next")]
    driver = start_driver(workplace, ", ".join(units))
    pid_file = workplace / "sleep.pid"
    wait_for(lambda: pid_file.exists() and pid_file.read_text())
    worker = int(pid_file.read_text())
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    wait_for(lambda: has_ended(worker))
    assert (workplace / ".sleep.done.lock").exists()
    assert not (workplace / ".next.done.lock").exists()
    spec = workplace / "log/sleep.json"
    spec.write_text(spec.read_text().replace("unitwork:sleep", "unitwork:describe"))
    work = [sys.executable, "-m", "espnet2.utils.work", str(spec)]
    subprocess.run(work, check=True, timeout=20)
    assert (workplace / ".sleep.done").exists()


def test_what_a_killed_job_of_another_machine_left_goes_when_the_unit_is_done_again(workplace):
    left = workplace / ".copy.txt.another.node.17.part"
    of_others = workplace / ".other.txt.another.node.17.part"
    for path in (left, of_others):
        path.write_text("half of it")
    assert run_units([copy_unit(workplace)], options(workplace)) == 0
    assert (left.exists(), of_others.exists()) == (False, True)


def has_ended(pid):
    return not Path(f"/proc/{pid}").exists() or is_zombie(pid)


def is_zombie(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def wait_for(condition, limit_s=20):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "gave up waiting"
        time.sleep(0.02)
