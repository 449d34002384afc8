"""The SLURM launcher against commands that parse the submission and really run its tasks."""

import os
import shlex
import signal
import subprocess
import sys
import time

import fake_slurm
import pytest
import submitit
from toy_units import copy_unit, options, plain_unit, processes_and_gpus, speaking_units

from espnet2.utils.cluster import cluster_file, load_cluster
from espnet2.utils.errors import ConfigError
from espnet2.utils.launch_slurm import pack
from espnet2.utils.units import is_done, result_of, run_units

SETTINGS = """
cpu: {timeout_min: 30, mem_gb: 3, cpus_per_task: 1, array_size: 50, slurm_partition: cpu}
gpu: {timeout_min: 99, mem_gb: 60, cpus_per_task: 8, slurm_partition: gpu, slurm_account: me}
"""


@pytest.fixture
def slurm(workplace, monkeypatch):
    """The folder with the fake cluster's state, its commands on PATH, and a YAML for it."""
    fake_slurm.install(workplace / "bin")
    state = workplace / "slurm_state"
    state.mkdir()
    monkeypatch.setenv("PATH", f"{workplace / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(state))
    (workplace / "mine.yaml").write_text(SETTINGS)
    submitit.SlurmJob.watcher.clear()  # it remembers jobs of these numbers from the test before
    return state


def run(workplace, units, nj=2):
    return run_units(units, options(workplace, nj=nj, cluster=str(workplace / "mine.yaml")))


def copies(workplace, count, gpus=0):
    return [copy_unit(workplace, name=f"copy{i}", gpus=gpus) for i in range(count)]


def submitted(slurm, number=100):
    return fake_slurm.options_of(slurm / f"{number}.sh")


def test_units_become_one_array_with_the_settings_of_the_cpu_section(slurm, workplace, capfd):
    units = copies(workplace, 3)
    assert run(workplace, units) == 0
    asked = submitted(slurm)
    assert asked["array"] == "0-2%2"
    assert (asked["partition"], asked["time"], asked["mem"]) == ("cpu", "30", "3GB")
    assert (asked["cpus-per-task"], asked["job-name"]) == ("1", "log")
    assert {"gpus-per-node", "account"}.isdisjoint(asked)
    assert "SLURM job 100: units 3, jobs 3, at most 2 jobs at a time" in capfd.readouterr().err
    assert [result_of(unit) for unit in units] == [{"characters": 4}] * 3
    assert run(workplace, units) == 0
    assert "up to date (3 units)" in capfd.readouterr().err
    assert not (slurm / "101.sh").exists()


def test_units_with_a_gpu_take_the_gpu_section_and_ask_for_their_gpus(slurm, workplace):
    assert run(workplace, copies(workplace, 2, gpus=4)) == 0
    asked = submitted(slurm)
    assert (asked["gpus-per-node"], asked["partition"], asked["account"]) == ("4", "gpu", "me")
    assert (asked["time"], asked["cpus-per-task"], asked["array"]) == ("99", "8", "0-1%2")


def test_more_units_than_an_array_holds_share_jobs(slurm, workplace):
    conf = workplace / "mine.yaml"
    conf.write_text(SETTINGS.replace("array_size: 50", "array_size: 3"))
    units = copies(workplace, 7)
    assert run(workplace, units, nj=3) == 0
    assert submitted(slurm)["array"] == "0-2%3"
    assert all(is_done(unit) for unit in units)


def test_a_job_with_more_gpus_than_a_unit_uses_gives_each_lane_its_own(
    slurm, workplace, monkeypatch
):
    conf = workplace / "mine.yaml"
    conf.write_text("gpu: {gpus_per_node: 2, array_size: 1}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")  # as SLURM sets it in a job
    units = speaking_units(workplace, 10, together=32, gpus=1)
    assert run(workplace, units, nj=1) == 0
    assert submitted(slurm)["gpus-per-node"] == "2"
    seen = processes_and_gpus(units)
    assert {gpu for _, gpu in seen} == {"3", "5"}
    assert seen[::2] == seen[1::2]  # neighbours in one process
    assert len({process for process, _ in seen}) == 5
    conf.write_text("gpu: {gpus_per_node: 2}")
    with pytest.raises(ConfigError) as caught:
        run(workplace, copies(workplace, 1, gpus=4))
    assert str(caught.value) == f"{conf}: gpu: gpus_per_node is 2, but a unit uses 4 GPUs"


def test_of_a_lost_job_units_that_shared_a_process_are_told_apart(slurm, workplace, capfd):
    units = speaking_units(workplace, 3, together=3)
    units[1] = plain_unit(workplace, "kill_job", together=3)
    assert run(workplace, units, nj=1) == 1
    error = capfd.readouterr().err
    assert "u00" not in error
    assert "kill_job failed: SLURM job 100 ended as OUT_OF_MEMORY (said last: half way)" in error
    assert "u02 failed: SLURM job 100 ended as OUT_OF_MEMORY (not begun)" in error
    assert [is_done(unit) for unit in units] == [True, False, False]


def test_two_hundred_thousand_units_make_a_thousand_jobs_of_neighbours():
    packs = pack(range(200_000), array_size=1000, lanes=1)
    assert (len(packs), {len(part) for part in packs}) == (1000, {200})
    assert [i for part in packs for i in part] == list(range(200_000))
    assert [len(part) for part in pack(range(10), array_size=1000, lanes=4)] == [4, 4, 2]
    assert len(pack(range(1001), array_size=1000, lanes=1)) == 501


def test_a_failed_unit_is_named_and_only_it_is_submitted_again(slurm, workplace, capfd):
    bad = plain_unit(workplace, "fail", "bad")
    good = copies(workplace, 2)
    assert run(workplace, [good[0], bad, good[1]]) == 1
    error = capfd.readouterr().err
    assert "bad failed: work: error: the disk is full while writing" in error
    command = shlex.join([sys.executable, "-m", "espnet2.utils.work", f"{workplace}/log/bad.json"])
    assert f"redo it alone: {command}" in error
    assert "copy0 failed" not in error
    assert [is_done(unit) for unit in (*good, bad)] == [True, True, False]
    assert run(workplace, [good[0], bad, good[1]]) == 1
    assert "array" not in submitted(slurm, 101)  # a lone job
    assert {path.stem for path in slurm.glob("101*.state")} == {"101"}


def test_a_lost_job_is_reported_with_its_state_and_its_done_units_stay_done(
    slurm, workplace, capfd
):
    conf = workplace / "mine.yaml"
    conf.write_text(SETTINGS.replace("array_size: 50", "array_size: 2"))
    first, *others = copies(workplace, 3)
    deadly, after = plain_unit(workplace, "kill_job"), plain_unit(workplace, "kill_job", "after")
    units = [first, deadly, after, *others]  # three in the first job, two in the second
    assert run(workplace, units) == 1
    error = capfd.readouterr().err
    assert (
        "kill_job failed: SLURM job 100_0 ended as OUT_OF_MEMORY (said last: half way); "
        f"give it more mem_gb in {conf}"
    ) in error
    assert "after failed: SLURM job 100_0 ended as OUT_OF_MEMORY (not begun)" in error
    assert "Traceback" not in error
    assert [is_done(unit) for unit in units] == [True, False, False, True, True]


def test_a_job_that_runs_out_of_time_says_so(slurm, workplace, capfd):
    (workplace / "mine.yaml").write_text("cpu: {timeout_min: 1}")
    assert run(workplace, [plain_unit(workplace, "run_out_of_time")]) == 1
    error = capfd.readouterr().err
    assert "SLURM job 100 ended as TIMEOUT" in error
    assert "give it more timeout_min in" in error
    assert "Traceback" not in error


def test_a_unit_that_can_go_on_saves_and_its_job_returns_to_the_queue(slurm, workplace, capfd):
    (workplace / "signal.txt").write_text("SIGUSR2")  # as SLURM sends it before the time is up
    unit = plain_unit(workplace, "go_on", can_go_on=True)
    assert run(workplace, [unit]) == 0
    assert (workplace / "go_on.txt").read_text() == "stopped, went on"
    assert (slurm / "100.requeued").exists()
    assert not (slurm / "101.sh").exists()  # the same job
    assert "failed" not in capfd.readouterr().err


def test_a_terminated_job_saves_and_leaves_it_to_slurm_whether_it_runs_again(
    slurm, workplace, capfd
):
    (workplace / "signal.txt").write_text("SIGTERM")
    unit = plain_unit(workplace, "go_on", can_go_on=True)
    assert run(workplace, [unit]) == 1
    assert (workplace / "go_on.saved").read_text() == "stopped"
    assert not (slurm / "100.requeued").exists()
    assert "SLURM job 100 ended as OUT_OF_MEMORY (said last: stopped" in capfd.readouterr().err
    assert run(workplace, [unit]) == 0
    assert (workplace / "go_on.txt").read_text() == "stopped, went on"


def test_a_unit_of_several_nodes_is_one_job_in_which_every_node_takes_part(slurm, workplace):
    conf = workplace / "mine.yaml"
    conf.write_text("cpu: {nodes: 3, cpus_per_task: 4, slurm_signal_delay_s: 200}")
    unit = plain_unit(workplace, "take_part", nodes=3)
    assert run(workplace, [unit]) == 0
    asked = submitted(slurm)
    assert (asked["nodes"], asked["ntasks-per-node"]) == ("3", "1")
    assert (asked["cpus-per-task"], asked["signal"]) == ("4", "USR2@200")
    assert [(workplace / f"node{node}.txt").read_text() for node in range(3)] == ["3", "3", "3"]
    assert is_done(unit)
    assert run(workplace, copies(workplace, 1)) == 0
    assert submitted(slurm, 101)["nodes"] == "1"  # this unit can use but one


def test_what_another_node_says_is_in_the_error(slurm, workplace, capfd):
    (workplace / "mine.yaml").write_text("cpu: {nodes: 2}")
    (workplace / "bad0").touch()
    (workplace / "bad1").touch()
    unit = plain_unit(workplace, "take_part", nodes=2)
    assert run(workplace, [unit]) == 1
    error = capfd.readouterr().err
    assert "take_part failed: work: error: no GPU on node 0; " in error
    assert "node 1 (localhost): work: error: no GPU on node 1; log" in error


def test_a_job_has_the_environment_of_a_local_unit(slurm, workplace):
    assert run(workplace, [plain_unit(workplace, "describe")]) == 0
    python, threads, path, job = (workplace / "describe.txt").read_text().splitlines()
    assert (python, threads, job) == (sys.executable, "1", "100")
    assert str(workplace) in path.split(os.pathsep)


def test_several_units_of_a_job_run_at_once_where_it_has_the_processors(slurm, workplace):
    (workplace / "mine.yaml").write_text("cpu: {cpus_per_task: 4}")
    units = [plain_unit(workplace, "meet_three_others", f"meet{i}") for i in range(4)]
    assert run(workplace, units) == 0
    assert "array" not in submitted(slurm)


def test_an_interrupted_driver_cancels_its_jobs(slurm, workplace):
    script = f"""
import signal
from pathlib import Path
from toy_units import options, plain_unit
from espnet2.utils.units import run_units
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
folder = Path({str(workplace)!r})
run_units([plain_unit(folder, "sleep")], options(folder, cluster=str(folder / "mine.yaml")))
"""
    paths = os.pathsep.join([os.path.dirname(__file__), os.environ["PYTHONPATH"]])
    driver = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 30
    while not (workplace / "sleep.pid").exists() and time.monotonic() < end:
        time.sleep(0.02)
    driver.send_signal(signal.SIGINT)
    _, error = driver.communicate(timeout=30)
    assert "cancelling SLURM job 100" in error
    assert (slurm / "cancelled").read_text() == "100"
    assert (slurm / "100.state").read_text() == "CANCELLED by 1000"


def test_what_sbatch_refuses_is_one_line(slurm, workplace):
    (workplace / "mine.yaml").write_text("cpu: {slurm_partition: closed}")
    with pytest.raises(ConfigError) as caught:
        run(workplace, copies(workplace, 2))
    assert str(caught.value) == (
        "sbatch refused the job: sbatch: error: invalid partition specified: closed; "
        f"its settings are in {workplace}/mine.yaml"
    )


def test_without_sbatch_it_says_where_to_run(workplace):
    (workplace / "mine.yaml").write_text(SETTINGS)
    with pytest.raises(ConfigError, match="sbatch is not on PATH; run this on a login node"):
        run(workplace, copies(workplace, 1))


def test_names_and_keys_that_are_not_known_are_refused(tmp_path):
    known = "must be local, a name in conf/cluster (slurm) or a YAML file"
    with pytest.raises(ConfigError) as caught:
        cluster_file("pbs")
    assert str(caught.value) == f"--cluster pbs: {known}"
    conf = tmp_path / "mine.yaml"
    conf.write_text("cpu: {slurm_partitoin: x, mem_gb: lots}\nfpga: {}\n")
    with pytest.raises(ConfigError) as caught:
        load_cluster(conf)
    assert str(caught.value).splitlines() == [
        f"{conf}: cpu: slurm_partitoin is not a known key; did you mean 'slurm_partition'?",
        f"{conf}: cpu: mem_gb must be float, got 'lots' (str); "
        "YAML reads 3e-4 as text, write 3.0e-4 or 0.0003",
        f"{conf}: fpga is not a known key",
    ]
    conf.write_text("gpu: {array_size: 0}")
    with pytest.raises(ConfigError, match="array_size must be above 0, got 0"):
        load_cluster(conf)


def test_the_settings_that_come_along_are_valid():
    cluster = load_cluster(cluster_file("slurm"))
    assert cluster.cpu.array_size == 1000
    assert cluster.gpu.gpus_per_node is None
    assert cluster_file("local") is None
