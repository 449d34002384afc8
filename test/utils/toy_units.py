"""Units that do next to nothing, for tests of who starts them, where and when."""

import argparse

from espnet2.utils.units import Unit

WORK = """
import ctypes, os, signal, subprocess, sys, time
from pathlib import Path
from espnet2.utils.errors import DataError

def copy(source: Path, out: Path, times: int) -> dict:
    with open(out.with_suffix(".begun"), "a") as file:
        file.write("once ")
    time.sleep(float(os.environ.get("TOY_SLEEP", "0")))
    out.write_text(source.read_text() * times)
    return {"characters": len(out.read_text())}

def fail(out: Path) -> None:
    raise OSError(28, "No space left on device", str(out))

def sleep(out: Path) -> None:
    out.with_suffix(".pid").write_text(str(os.getpid()))
    time.sleep(60)

def describe(out: Path) -> None:
    names = ("OMP_NUM_THREADS", "PYTHONPATH", "SLURM_JOB_ID")
    values = [sys.executable, *(os.environ.get(name, "") for name in names)]
    out.write_text("\\n".join(values))

def meet_three_others(out: Path) -> None:
    out.write_text("here")
    end = time.monotonic() + 30
    while len(list(out.parent.glob("meet*.txt"))) < 4:
        if time.monotonic() > end:
            raise TimeoutError("the others did not come")
        time.sleep(0.01)

def speak(out: Path, ends: Path) -> None:
    name = out.stem
    print(name, "in Python")
    print(name, "on stderr", file=sys.stderr)
    ctypes.CDLL(None).printf(b"%s in C\\n", name.encode())  # stays in C's own buffer
    os.write(1, f"{name} by number\\n".encode())
    subprocess.run(["echo", name, "in a child"], check=True)
    time.sleep(float(os.environ.get("TOY_SLEEP", "0")))
    end = ends.read_text().partition(name + "=")[2].partition(" ")[0] if ends.exists() else ""
    if end == "raise":
        os.chdir("/")
        raise ValueError("no such thing")
    if end == "refuse":
        raise DataError("u1: no such word")
    if end == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "exit":
        sys.exit("had enough")
    if end == "vanish":
        os._exit(0)
    out.write_text(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')}")

def kill_job(out: Path) -> None:
    print("half way", flush=True)
    os.killpg(0, signal.SIGKILL)

def go_on(out: Path) -> None:
    saved = out.with_suffix(".saved")
    if saved.exists():
        out.write_text(saved.read_text() + ", went on")
        return
    def stop(number, frame):
        saved.write_text("stopped")
        sys.exit("stopped by a signal")
    signal.signal(signal.SIGTERM, stop)
    os.kill(os.getppid(), getattr(signal, (out.parent / "signal.txt").read_text()))
    time.sleep(60)

def take_part(out: Path) -> None:
    node = os.environ["SLURM_NODEID"]
    (out.parent / f"node{node}.txt").write_text(os.environ["SLURM_JOB_NUM_NODES"])
    if (out.parent / f"bad{node}").exists():
        raise DataError(f"no GPU on node {node}")

def run_out_of_time(out: Path) -> None:
    os.kill(os.getppid(), signal.SIGUSR2)
    time.sleep(60)
"""


def options(folder, nj=1, cluster="local", ngpu=0):
    return argparse.Namespace(nj=nj, cluster=cluster, ngpu=ngpu, log_dir=folder / "log")


def copy_unit(folder, times=2, name="copy", gpus=0):
    out = folder / f"{name}.txt"
    return Unit(
        name=name,
        entry="unitwork:copy",
        kwargs={"source": folder / "in.txt", "out": out, "times": times},
        marker=folder / f".{name}.done",
        inputs=[folder / "in.txt"],
        options={"times": times},
        outputs=[out],
        gpus=gpus,
    )


def speaking_units(folder, count, together=1, gpus=0):
    """Units u00, u01, … that say something in five ways; ends.txt may say how one ends."""
    return [
        Unit(
            name=f"u{i:02d}",
            entry="unitwork:speak",
            kwargs={"out": folder / f"u{i:02d}.txt", "ends": folder / "ends.txt"},
            marker=folder / f".u{i:02d}.done",
            outputs=[folder / f"u{i:02d}.txt"],
            gpus=gpus,
            together=together,
        )
        for i in range(count)
    ]


def processes_and_gpus(units):
    """(number of the process, CUDA_VISIBLE_DEVICES) of each speaking unit that is done."""
    return [tuple(unit.outputs[0].read_text().split()) for unit in units]


def plain_unit(folder, entry, name=None, gpus=0, together=1, **more):
    """A unit of one of the other functions above."""
    name = name or entry
    return Unit(
        name=name,
        entry=f"unitwork:{entry}",
        kwargs={"out": folder / f"{name}.txt"},
        marker=folder / f".{name}.done",
        gpus=gpus,
        together=together,
        **more,
    )
