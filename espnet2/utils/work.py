"""Do one unit: ``python3 -m espnet2.utils.work log/format/tuxpaint.000.json``.

The JSON file was written by the stage; it holds the function's name, its arguments and the marker.
Of several files the units are done one after the other, each with a log file of its own beside its
JSON; one that fails does not keep the next from its turn. ``--join FILE`` takes part, on another
machine, in a unit that is done elsewhere.
"""

import contextlib
import ctypes
import fcntl
import functools
import importlib
import inspect
import os
import sys
import traceback
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from espnet2.utils.cli import INTERRUPTED, exit_status, run_main
from espnet2.utils.config import convert, from_dict
from espnet2.utils.errors import XeusError
from espnet2.utils.files import read_json, remove_leftovers
from espnet2.utils.logs import log
from espnet2.utils.markers import read_marker, stands
from espnet2.utils.processes import THREAD_VARIABLES
from espnet2.utils.units import Unit, mark_done

JOIN = "--join"


def main() -> int:
    """Do the units named on the command line; of one alone the output stays where it goes."""
    # As launch_local starts it, also where a person does: more threads add up in another order.
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    words = sys.argv[1:]
    paths = [
        Path(word).absolute() for word in words if word != JOIN
    ]  # a unit has its own directory
    if not paths:
        raise XeusError("give the JSON file of a unit; a stage writes them into its log folder")
    if len(paths) > 1:
        return do_in_turn(paths)
    (join if JOIN in words else do)(paths[0])
    return 0


def do_in_turn(paths: list[Path]) -> int:
    """Do one unit after the other; returns an exit status, 0 when all of them went well."""
    worst = 0
    for path in paths:
        write_to(path.with_suffix(".log"))
        status = attempt(path)
        if status == INTERRUPTED:
            return status
        worst = max(worst, status)
    return worst


def write_to(path: Path) -> None:
    """From here on what this process says, in Python or in C, is added to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)  # what C code has said so far is of the unit before
    with open(path, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def attempt(path: Path) -> int:
    """Do one unit of several; its error is reported as Python reports a lone one's."""
    try:
        return exit_status(functools.partial(do, path))
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
    except Exception:
        traceback.print_exc()
    return 1


def do(path: Path) -> None:
    """Do the unit of a JSON file, unless its marker stands; then write its marker."""
    unit, print_ = read_unit(path)
    unit.marker.parent.mkdir(parents=True, exist_ok=True)
    with alone(unit):
        if stands(read_marker(unit.marker), unit.marker, print_):
            log(f"{unit.name} is already done")
            return
        unit.marker.unlink(missing_ok=True)
        remove_own_leftovers(unit)
        mark_done(unit, print_, call(unit))


def join(path: Path) -> None:
    """Take part in the unit of a JSON file; lock, marker and leftovers are its first machine's."""
    call(read_unit(path)[0])


def read_unit(path: Path) -> tuple[Unit, str]:
    """The unit of a JSON file and its fingerprint; its directory becomes this process's."""
    spec = read_json(path)
    print_, directory = spec.pop("fingerprint"), spec.pop("directory")
    unit = from_dict(Unit, spec, str(path))
    os.chdir(directory)  # relative paths are the stage's
    return unit, print_


def call(unit: Unit) -> Any:
    """What the unit's function returns."""
    function = load_entry(unit.entry)
    return function(**typed(function, unit.kwargs))


def remove_own_leftovers(unit: Unit) -> None:
    """Delete half-written outputs of runs that were killed; under the unit's lock none is alive."""
    paths = [Path(path) for path in (*unit.outputs, unit.marker)]
    for folder in {path.parent for path in paths}:
        if folder.is_dir():
            remove_leftovers(folder, [path.name for path in paths if path.parent == folder])


@contextlib.contextmanager
def alone(unit: Unit) -> Iterator[None]:
    """Hold the unit's lock; waits for another process that has it.

    The kernel frees the lock of a process that ends, however it ends, so none is ever stale.

    Raises:
        XeusError: the file system knows no locks.
    """
    path = unit.marker.with_name(unit.marker.name + ".lock")
    with open(path, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log(f"{unit.name} is being done by another process; waiting for its end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise XeusError(
                f"{path} cannot be locked ({error.strerror}); mount its file system with flock, "
                "or write to another one"
            ) from None
        yield


def load_entry(entry: str) -> typing.Callable[..., Any]:
    """The function that ``package.module:function`` names."""
    module, _, name = entry.partition(":")
    return getattr(importlib.import_module(module), name)


def typed(function: typing.Callable[..., Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """JSON arguments as the function's annotations ask: paths, dataclasses, tuples."""
    hints = typing.get_type_hints(function)
    known = inspect.signature(function).parameters
    assert set(kwargs) <= set(known), f"{function} takes {list(known)}, got {list(kwargs)}"
    return {key: convert(hints.get(key, Any), value, key) for key, value in kwargs.items()}


if __name__ == "__main__":
    run_main(main)
