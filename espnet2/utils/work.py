"""Do one unit: ``python3 -m espnet2.utils.work log/format/tuxpaint.000.json``.

The JSON file was written by the stage; it holds the function's name, its arguments and the marker.
"""

import contextlib
import fcntl
import importlib
import inspect
import os
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from espnet2.utils.cli import run_main
from espnet2.utils.config import convert, from_dict
from espnet2.utils.errors import XeusError
from espnet2.utils.files import read_json, remove_leftovers
from espnet2.utils.logs import log
from espnet2.utils.markers import read_marker, stands
from espnet2.utils.units import Unit, mark_done


def main() -> None:
    """Run the unit named on the command line, then write its marker."""
    if len(sys.argv) != 2:
        raise XeusError("give one unit's JSON file; a stage writes them into its log folder")
    spec = read_json(Path(sys.argv[1]))
    print_, directory = spec.pop("fingerprint"), spec.pop("directory")
    unit = from_dict(Unit, spec, sys.argv[1])
    os.chdir(directory)  # relative paths are the stage's
    unit.marker.parent.mkdir(parents=True, exist_ok=True)
    with alone(unit):
        if stands(read_marker(unit.marker), unit.marker, print_):
            log(f"{unit.name} is already done")
            return
        unit.marker.unlink(missing_ok=True)
        remove_own_leftovers(unit)
        function = load_entry(unit.entry)
        mark_done(unit, print_, function(**typed(function, unit.kwargs)))


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
