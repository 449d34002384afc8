"""Units that share a process: what they share, and what each keeps for itself."""

import os
import subprocess
from pathlib import Path

import pytest
from toy_units import copy_unit, options, processes_and_gpus, speaking_units

from espnet2.utils import launch_local
from espnet2.utils.lanes import deal
from espnet2.utils.units import is_done, run_units

WAYS = ("in Python", "on stderr", "in C", "by number", "in a child")


def processes(units):
    """For each process, in order, the names of the units it did."""
    did = {}
    for unit, (process, _) in zip(units, processes_and_gpus(units), strict=True):
        did.setdefault(process, []).append(unit.name)
    return list(did.values())


def log_of(workplace, name):
    return (workplace / f"log/{name}.log").read_text().splitlines()


def test_packs_hold_neighbours_and_each_of_several_lanes_gets_several():
    sizes = [len(part) for part in deal(range(1000), lanes=4, together=32)]
    assert (set(sizes[:-1]), len(sizes)) == ({32}, 32)
    assert deal(range(10), lanes=2, together=32) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert [len(part) for part in deal(range(16), lanes=1, together=10)] == [10, 6]
    assert deal("abc", lanes=8, together=32) == deal("abc", lanes=1, together=1) == [
        ["a"], ["b"], ["c"],
    ]  # fmt: skip


def test_neighbours_share_a_process_and_lanes_do_not(workplace):
    units = speaking_units(workplace, 5, together=2)
    assert run_units(units, options(workplace)) == 0
    assert processes(units) == [["u00", "u01"], ["u02", "u03"], ["u04"]]
    for unit in units:
        unit.marker.unlink()
    assert run_units(units, options(workplace, nj=2)) == 0
    assert processes(units) == [["u00"], ["u01"], ["u02"], ["u03"], ["u04"]]


def test_each_unit_has_its_own_log_with_all_that_was_said_in_it(workplace, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # then Python and C keep words back
    units = speaking_units(workplace, 3, together=3)
    assert run_units(units, options(workplace)) == 0
    assert len(processes(units)) == 1
    for unit in units:
        said = sorted(log_of(workplace, unit.name))
        assert said == sorted(f"{unit.name} {way}" for way in WAYS)


def test_a_unit_that_fails_or_kills_its_process_is_the_only_one_lost(workplace, capfd):
    units = speaking_units(workplace, 9, together=9)
    (workplace / "ends.txt").write_text(
        "u01=raise u02=refuse u03=exit u05=die u07=vanish "  # the others end well
    )
    assert run_units(units, options(workplace)) == 1
    assert [unit.name for unit in units if is_done(unit)] == ["u00", "u04", "u06", "u08"]
    good = [units[0], *units[4::2]]
    assert processes(good) == [["u00", "u04"], ["u06"], ["u08"]]  # a new one after a kill
    error = capfd.readouterr().err
    assert "u01 failed: ValueError: no such thing" in error
    assert "u02 failed: work: error: u1: no such word" in error
    assert "u03 failed: had enough" in error
    assert "u05 failed: u05 " in error  # its last word before the kill
    assert "u07 failed: u07 " in error
    assert error.count("redo it alone: ") == 5
    assert f"-m espnet2.utils.work {workplace}/log/u01.json\n" in error
    assert "u06" not in error
    assert {line.split()[0] for line in log_of(workplace, "u06")} == {"u06"}
    assert "Traceback (most recent call last):" in log_of(workplace, "u01")

    before = processes_and_gpus(good)
    (workplace / "ends.txt").unlink()
    assert run_units(units, options(workplace)) == 0
    assert processes_and_gpus(good) == before
    missing = [unit for unit in units if unit not in good]
    assert processes(missing) == [["u01", "u02", "u03", "u05", "u07"]]


def test_an_error_reads_as_that_of_a_lone_unit(workplace):
    (workplace / "ends.txt").write_text("u00=refuse u01=exit ")
    ends = []
    for together in (1, 2):
        assert run_units(speaking_units(workplace, 2, together), options(workplace)) == 1
        ends.append([sorted(log_of(workplace, name)) for name in ("u00", "u01")])
    assert ends[0] == ends[1]


def test_a_command_of_several_units_ends_with_the_worst_of_their_statuses(workplace):
    (workplace / "ends.txt").write_text("u00=raise ")
    assert run_units(speaking_units(workplace, 2, together=2), options(workplace)) == 1
    specs = [workplace / f"log/u0{i}.json" for i in range(2)]
    ended = subprocess.run(launch_local.work_command(*specs), check=False)
    assert ended.returncode == 1
    (workplace / "ends.txt").unlink()
    assert subprocess.run(launch_local.work_command(*specs), check=False).returncode == 0


def test_relative_paths_are_the_stages_whatever_the_unit_before_did(workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    units = speaking_units(Path("."), 3, together=3)
    (workplace / "ends.txt").write_text("u01=raise ")  # after it has gone to another directory
    assert run_units(units, options(Path("."))) == 1
    assert processes([units[0], units[2]]) == [["u00", "u02"]]


@pytest.mark.parametrize("together", [1, 2])
def test_what_killed_jobs_of_another_machine_left_goes_for_each_unit(workplace, together):
    left = [workplace / f".u0{i}.txt.another.node.17.part" for i in range(2)]
    for path in left:
        path.write_text("half of it")
    assert run_units(speaking_units(workplace, 2, together), options(workplace)) == 0
    assert [path.exists() for path in left] == [False, False]


def test_units_within_a_running_process_are_counted_as_they_end(workplace, capfd, monkeypatch):
    monkeypatch.setattr(launch_local, "SAID_EVERY_S", 0.0)
    monkeypatch.setenv("TOY_SLEEP", "0.1")
    (workplace / "ends.txt").write_text("u00=raise ")
    assert run_units(speaking_units(workplace, 3, together=3), options(workplace)) == 1
    said = capfd.readouterr().err
    assert "0 of 3 units have ended, 0 of them failed" in said
    assert "1 of 3 units have ended, 1 of them failed" in said
    assert "3 of 3 units have ended, 1 of them failed" in said


def test_a_unit_that_may_not_share_keeps_the_others_of_its_run_apart(workplace):
    units = [*speaking_units(workplace, 2, together=8), copy_unit(workplace)]
    assert run_units(units, options(workplace)) == 0
    assert processes(units[:2]) == [["u00"], ["u01"]]


def test_a_process_that_cannot_start_fails_every_unit_once(workplace, capfd, monkeypatch):
    (workplace / "sitecustomize.py").write_text("import os\nos.write(2, b'no start')\nos._exit(3)")
    assert run_units(speaking_units(workplace, 3, together=3), options(workplace)) == 1
    error = capfd.readouterr().err
    assert [f"u0{i} failed: no start" in error for i in range(3)] == [True] * 3
    assert os.listdir(workplace / "log").count("u02.log") == 1
