"""What the doctor makes of machines: this one, and others as their files and programs tell."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from espnet2.bin import doctor
from espnet2.utils import requirements
from espnet2.utils.doctor import cgroup, system
from espnet2.utils.doctor.children import answers, ask
from espnet2.utils.doctor.collectives import ADVICE, reduced, verdict
from espnet2.utils.doctor.disk import disk_findings, time_read, verdicts
from espnet2.utils.doctor.finding import Finding, judged
from espnet2.utils.doctor.gpu import driver_gpus, gpu_findings
from espnet2.utils.doctor.packages import table
from espnet2.utils.doctor.slurm import slurm_findings
from espnet2.utils.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
GIB = 2**30


def test_a_real_examination_names_every_subject_and_fails_with_few_file_handles(tmp_path):
    command = [sys.executable, "-m", "espnet2.bin.xeus", "doctor", "--json", "--dir", tmp_path]
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (400, 500)),
    )  # fmt: skip
    report = json.loads(result.stdout)
    found = {finding["subject"]: finding for finding in report["findings"]}
    assert {
        "Python", "installation", "optional", "threads", "memory", "file handles", "shared memory",
        "free disk", "disk write", "disk read", "disk seek", "SLURM", "GPU driver", "torch", "gloo",
    } <= set(found)  # fmt: skip
    handles = found["file handles"]
    assert (handles["level"], handles["found"]) == ("fail", "ulimit -n 400, at most 500")
    assert "Too many open files" in handles["advice"]
    assert result.returncode == 1
    assert found["gloo"]["found"].startswith("all_reduce of 2: 4 MiB in ")
    assert [finding["level"] for finding in (found["gloo"], found["installation"])] == ["ok", "ok"]
    assert {row["name"] for row in report["packages"]} >= {"torch", "peft", "sbatch"}
    assert list(tmp_path.iterdir()) == []


def test_lines_for_people_and_the_exit_status(monkeypatch, capsys):
    fine = judged("threads", "2 cores")
    slow = judged("disk read", "3 MB/s", warn="use a local disk")
    monkeypatch.setattr(doctor, "findings", lambda folder: iter([fine, slow]))
    assert doctor.main([]) == 0
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first == "ok    threads        2 cores"
    assert second == "warn  disk read      3 MB/s: use a local disk"
    assert rest[:2] == ["", "required:"]
    assert [line for line in rest if line.endswith(":")][1:] == ["optional:", "programs:"]
    broken = Finding(subject="torch", level="fail", found="no CUDA", advice="install another")
    monkeypatch.setattr(doctor, "findings", lambda folder: iter([fine, broken]))
    assert doctor.main(["--json"]) == 1
    with pytest.raises(ConfigError, match="--dir nowhere: no such folder"):
        doctor.main(["--dir", "nowhere"])


def test_the_table_is_that_of_check_install():
    names = [row["name"] for row in table()]
    lists = (requirements.REQUIRED, requirements.OPTIONAL, requirements.PROGRAMS)
    assert names == [name for part in lists for name in part]


def test_cgroup_limits_hold_from_every_folder_above(tmp_path):
    group = tmp_path / "a/b"
    group.mkdir(parents=True)
    own = tmp_path / "own"
    own.write_text("0::/a/b\n")
    (tmp_path / "a/cpu.max").write_text("150000 100000\n")
    (group / "cpu.max").write_text("max 100000\n")
    (group / "memory.max").write_text(f"{3 * GIB}\n")
    assert cgroup.cpu_limit(tmp_path, own) == 1.5
    assert cgroup.memory_limit(tmp_path, own) == 3 * GIB
    (tmp_path / "v1/cpu/job").mkdir(parents=True)
    own.write_text("4:cpu:/job\n2:memory:/job\n")
    (tmp_path / "v1/cpu/job/cpu.cfs_quota_us").write_text("400000\n")
    (tmp_path / "v1/cpu/job/cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / "v1/memory/job").mkdir(parents=True)
    (tmp_path / "v1/memory/job/memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert cgroup.cpu_limit(tmp_path / "v1", own) == 4
    assert cgroup.memory_limit(tmp_path / "v1", own) is None


@pytest.mark.parametrize(
    ("cores", "limit", "chosen", "level", "words"),
    [
        (8, None, "4", "ok", ""),
        (8, None, None, "ok", "stages set one thread a process"),
        (8, 2.0, None, "warn", "see 8 cores and may use 2; export OMP_NUM_THREADS=2"),
        (8, 2.0, "4", "warn", "more threads than cores slow each other; export OMP_NUM_THREADS=2"),
        (2, None, "64", "warn", "export OMP_NUM_THREADS=2"),
        (8, 0.5, "1", "ok", ""),
        (2, None, "many", "warn", "OMP_NUM_THREADS=many is no number"),
    ],
)
def test_threads_are_held_against_cores_and_limits(monkeypatch, cores, limit, chosen, level, words):
    monkeypatch.setattr(system, "usable_cores", lambda: (cores, limit))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if chosen:
        monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    found = system.threads()
    assert found.level == level
    assert words in found.advice


@pytest.mark.parametrize(
    ("soft", "hard", "level", "words"),
    [
        (256, 4096, "fail", "ulimit -n 4096"),
        (256, 256, "fail", "ask for a higher hard limit"),
        (1024, resource.RLIM_INFINITY, "warn", "ulimit -n unlimited"),
        (65536, 65536, "ok", ""),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, "ok", ""),
    ],
)
def test_few_file_handles_come_with_the_command_that_raises_them(soft, hard, level, words):
    found = system.file_handles(soft, hard)
    assert found.level == level
    assert words in found.advice


def test_shared_memory_that_is_not_there_is_a_failure(tmp_path):
    assert system.shared_memory(tmp_path / "shm").level == "fail"
    assert "GiB free" in system.shared_memory(tmp_path).found


def test_a_disk_is_measured_and_left_as_it_was(tmp_path):
    found = disk_findings(tmp_path / "new", megabytes=2)
    assert [finding.subject for finding in found] == ["disk write", "disk read", "disk seek"]
    assert all(float(finding.found.split()[0]) > 0 for finding in found)
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").write_text("")
    [finding] = disk_findings(tmp_path / "file/inside", megabytes=2)
    assert finding.level == "fail"
    assert "cannot be written (Not a directory)" in finding.found
    assert [finding.level for finding in verdicts(500, 500, 0.1)] == ["ok"] * 3
    assert [finding.level for finding in verdicts(5, 5, 80)] == ["warn"] * 3


def test_where_direct_reads_are_refused_the_file_is_read_and_the_line_says_so():
    seconds, is_direct = time_read(Path("/proc/version"))  # which has no direct reads
    assert seconds > 0
    assert not is_direct
    _, read, _ = verdicts(500, 9000, 0.1, is_direct)
    assert read.line() == (
        "ok    disk read      9000 MB/s in order, maybe from memory: no direct reads here"
    )


def programs(folder, monkeypatch, **scripts):
    """A PATH of these shell scripts alone."""
    folder.mkdir()
    for name, text in scripts.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_slurm_is_told_by_its_programs_and_the_jobs_environment(tmp_path, monkeypatch):
    programs(tmp_path / "none", monkeypatch)
    [finding] = slurm_findings({})
    assert (finding.level, finding.found) == ("ok", "not here")
    programs(tmp_path / "half", monkeypatch, sbatch="true")
    [finding] = slurm_findings({})
    assert finding.level == "fail"
    assert finding.advice.startswith("srun not found; --cluster slurm needs both")
    sinfo = "echo 4 gpu:h100:8 batch; echo 2 '(null)' login"
    programs(tmp_path / "whole", monkeypatch, sbatch="true", srun="true", sinfo=sinfo)
    environment = {"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "8", "SLURM_GPUS_ON_NODE": "2"}
    lines = [finding.line() for finding in slurm_findings(environment)]
    assert lines == [
        "ok    SLURM          sbatch, srun",
        "ok    SLURM job      job 7, 1 node, 8 cores a task, 2 GPUs on this node",
        "ok    SLURM nodes    4 x gpu:h100:8 in batch",
    ]
    programs(tmp_path / "down", monkeypatch, sbatch="true", srun="true",
             sinfo="echo 'Unable to contact slurm controller' >&2; exit 1")  # fmt: skip
    assert [finding.level for finding in slurm_findings({})] == ["ok", "fail"]


H100 = {"name": "NVIDIA H100", "memory": 80 * GIB, "free": 79 * GIB, "capability": "9.0",
        "has_bf16": True, "error": ""}  # fmt: skip
WITH_CUDA = {"torch": "2.13.0", "cuda": "12.8", "is_available": True, "nccl": "2.27.3",
             "architectures": ["sm_80", "sm_90"], "gpus": [H100]}  # fmt: skip


def test_a_gpu_is_told_by_its_driver_and_by_torch(tmp_path, monkeypatch):
    row = "echo 'NVIDIA H100, 570.1, 81559, Disabled'"
    programs(tmp_path / "smi", monkeypatch, nvidia_smi=row)
    driver = driver_gpus()
    assert driver[0][0]["driver_version"] == "570.1"
    assert [f.line() for f in gpu_findings(driver, WITH_CUDA, "")] == [
        "ok    GPU driver     570.1, 1 x NVIDIA H100",
        "ok    torch          2.13.0, CUDA 12.8",
        "ok    GPU 0          NVIDIA H100, 80 GiB (79 free), compute capability 9.0, bf16",
    ]
    mig = [{**driver[0][0], "mig.mode.current": "Enabled"}]
    assert [f.level for f in gpu_findings((mig, ""), WITH_CUDA, "")][-1] == "warn"


@pytest.mark.parametrize(
    ("torch", "words"),
    [
        ({"cuda": None, "is_available": False, "gpus": []}, "a build for the CPU beside a GPU"),
        ({"is_available": False, "gpus": []}, "driver 470.1 is too old for CUDA 12.8"),
        ({"gpus": [{**H100, "error": "no kernel image"}]}, "built for sm_80, sm_90"),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_a_failure(torch, words):
    driver = [{"name": "NVIDIA T4", "driver_version": "470.1", "mig.mode.current": "[N/A]"}]
    found = list(gpu_findings((driver, ""), {**WITH_CUDA, **torch}, ""))
    [failed] = [finding for finding in found if finding.level == "fail"]
    assert words in failed.advice


def test_a_driver_that_does_not_answer_is_a_failure(tmp_path, monkeypatch):
    programs(tmp_path / "bad", monkeypatch, nvidia_smi="echo Driver/library mismatch; exit 18")
    assert driver_gpus() == ([], "Driver/library mismatch")
    first, second = gpu_findings(driver_gpus(), None, "ModuleNotFoundError: No module named torch")
    assert [first.level, second.level] == ["fail", "fail"]
    assert second.advice == "torch cannot be used; run tools/install.sh"
    programs(tmp_path / "none", monkeypatch, nvidia_smi="echo No devices were found")
    assert driver_gpus() == ([], "No devices were found")


def test_ranks_that_cannot_meet_are_a_failure_with_advice(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "nosuch0")
    found = reduced("gloo", 2)
    assert found.level == "fail"
    assert found.found.startswith("all_reduce of 2 failed (rank 0: ")
    assert found.advice == ADVICE["gloo"]
    wrong = {"is_right": False, "seconds": 0.1, "bytes": 2**22}
    assert verdict("nccl", 1, [(wrong, "")], "NCCL 2.27, ").advice.startswith("the sum is wrong")


def test_a_child_that_hangs_or_dies_is_told_in_a_line():
    assert ask("http.server", "0", limit_s=1.0) == (None, "no answer in 1 s")
    found, why = ask("no.such.module", limit_s=30.0)
    assert found is None
    assert "No module named" in why or "ModuleNotFoundError" in why


def test_children_that_write_much_besides_are_read_together(tmp_path, monkeypatch):
    (tmp_path / "chatty.py").write_text(
        "import os, sys, time\n"
        "me, other = sys.argv[1:]\n"
        "print('NCCL INFO ' * 20_000, flush=True)\n"
        "open(me, 'w').close()\n"
        "while not os.path.exists(other):\n"
        "    time.sleep(0.01)\n"
        "print('{\"me\": 1}')\n"
        "print('NCCL INFO comm destroyed')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    first, second = (str(tmp_path / name) for name in ("first", "second"))
    commands = [["chatty", first, second], ["chatty", second, first]]
    assert answers(commands, limit_s=20.0) == [({"me": 1}, "")] * 2
