"""A SLURM of one machine: commands that really run the tasks of an array.

``python3 fake_slurm.py install BIN`` writes the commands; FAKE_SLURM is the folder of their state.
sbatch reads the #SBATCH lines of the submission file, then a process of its own starts the tasks,
as many at a time as the array says. A task that a signal ends is OUT_OF_MEMORY, as after a kill by
the kernel; one of exit status 0 is COMPLETED, of any other FAILED. All nodes of a job are this
machine. A job that ``scontrol requeue`` names runs once more when its processes have ended.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = ("sbatch", "srun", "sacct", "scancel", "scontrol")


def install(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in COMMANDS:
        path = folder / name
        words = shlex.join([sys.executable, str(Path(__file__).resolve()), name])
        path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        path.chmod(0o755)


def options_of(script):
    """The #SBATCH lines as a dict of long names."""
    found = re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", script.read_text(), re.MULTILINE)
    return {name: shlex.split(value)[0] if value else "" for name, value in found}


def sbatch(arguments):
    state = Path(os.environ["FAKE_SLURM"])
    script = Path(arguments[-1])
    options = options_of(script)
    if options.get("partition") == "closed":
        sys.exit("sbatch: error: invalid partition specified: closed")
    number = 100 + len(list(state.glob("*.sh")))
    (state / f"{number}.sh").write_text(script.read_text())
    keeper = [sys.executable, __file__, "keep", str(number)]
    nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen(keeper, start_new_session=True, **nowhere)
    print(f"Submitted batch job {number}")


def keep(arguments):
    """Run every task of a submitted job; their states are files."""
    state, number = Path(os.environ["FAKE_SLURM"]), arguments[0]
    script = state / f"{number}.sh"
    options = options_of(script)
    array = re.fullmatch(r"0-(\d+)%(\d+)", options.get("array", ""))
    last, at_once = (int(array[1]), int(array[2])) if array else (0, 1)
    waiting, running = list(range(last + 1)), {}
    while waiting or running:
        while waiting and len(running) < at_once:
            task = waiting.pop(0)
            name = f"{number}_{task}" if array else number
            running[name] = start_task(script, options, number, task if array else None)
            (state / f"{name}.state").write_text(f"RUNNING {running[name].pid}")
        time.sleep(0.02)
        for name in [name for name, child in running.items() if child.poll() is not None]:
            status = running.pop(name).returncode
            if (state / f"{name}.requeue").exists():
                (state / f"{name}.requeue").rename(state / f"{name}.requeued")
                waiting.append(int(name.partition("_")[2] or 0))
                continue
            word = {True: "OUT_OF_MEMORY"}.get(status < 0 or status > 128, "FAILED")
            set_state(state / f"{name}.state", word if status else "COMPLETED")


def start_task(script, options, number, task):
    nodes = options.get("nodes", "1")
    again = len(list(Path(os.environ["FAKE_SLURM"]).glob(f"{number}*.requeued")))
    environment = {
        **os.environ, "SLURM_JOB_ID": number, "SLURM_NTASKS": nodes, "SLURM_JOB_NUM_NODES": nodes,
        "SLURM_JOB_NODELIST": ",".join(["localhost"] * int(nodes)), "SLURMD_NODENAME": "localhost",
        "SLURM_RESTART_COUNT": str(again),
    }  # fmt: skip
    out = options["output"]
    if task is not None:
        environment |= {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": str(task)}
        out = out.replace("%A", number).replace("%a", str(task))
    with open(out.replace("%j", number), "ab") as file:
        return subprocess.Popen(
            ["bash", str(script)], env=environment, stdout=file, stderr=file, start_new_session=True
        )


def set_state(path, word):
    """Note how a task ended, unless somebody else (scancel, a test) has said so before."""
    if path.read_text().startswith("RUNNING"):
        path.write_text(word)


def srun(arguments):
    """The program of the job, once a node; srun's own options come first."""
    while arguments[0].startswith("-"):
        takes_value = arguments[0] in ("--output", "--error")
        arguments = arguments[2 if takes_value else 1 :]
    count = int(os.environ["SLURM_NTASKS"])
    tasks = [
        subprocess.Popen(arguments, env={**os.environ, **place_of_task(task, count)})
        for task in range(count)
    ]
    signal.signal(signal.SIGTERM, lambda *_: None)  # the tasks' own
    ended = [status_of(task.wait()) for task in tasks]
    sys.exit(max(ended))


def place_of_task(task, count):
    names = ("SLURM_PROCID", "SLURM_NODEID")
    place = {**dict.fromkeys(names, str(task)), "SLURM_LOCALID": "0"}
    return {**place, "SLURM_STEP_NUM_TASKS": str(count)}


def status_of(code):
    return 128 - code if code < 0 else code


def scontrol(arguments):
    if arguments[:2] == ["show", "hostnames"]:
        print("\n".join(arguments[2].split(",")))
    else:
        assert arguments[0] == "requeue"
        (Path(os.environ["FAKE_SLURM"]) / f"{arguments[1]}.requeue").touch()


def sacct(arguments):
    state = Path(os.environ["FAKE_SLURM"])
    print("JobID|State|NodeList")
    for path in sorted(state.glob("*.state")):
        print(f"{path.stem}|{path.read_text().split()[0]}|here")


def scancel(arguments):
    state = Path(os.environ["FAKE_SLURM"])
    (state / "cancelled").write_text(arguments[0])
    for path in state.glob(f"{arguments[0]}*.state"):
        word, _, pid = path.read_text().partition(" ")
        if word == "RUNNING":
            path.write_text("CANCELLED by 1000")
            os.killpg(int(pid), 15)


if __name__ == "__main__":
    if sys.argv[1] == "install":
        install(Path(sys.argv[2]))
    else:
        globals()[sys.argv[1]](sys.argv[2:])
