"""Units that do next to nothing, for tests of who starts them, where and when."""

import argparse

from espnet2.utils.units import Unit

WORK = """
import os, signal, sys, time
from pathlib import Path

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

def kill_job(out: Path) -> None:
    print("half way", flush=True)
    os.killpg(0, signal.SIGKILL)

def run_out_of_time(out: Path) -> None:
    os.kill(os.getppid(), signal.SIGUSR2)
    time.sleep(60)
"""


def options(folder, nj=1, cluster="local"):
    return argparse.Namespace(nj=nj, cluster=cluster, log_dir=folder / "log")


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


def plain_unit(folder, entry, name=None):
    """A unit of one of the other functions above."""
    name = name or entry
    return Unit(
        name=name,
        entry=f"unitwork:{entry}",
        kwargs={"out": folder / f"{name}.txt"},
        marker=folder / f".{name}.done",
    )
