"""Units of work: what a stage redoes, and what it leaves alone.

A unit is done when its marker names the same options, the same content of its inputs, and outputs
that are still there. Inputs are small files (an index's JSON, a YAML); big payloads are covered
because the small files hold their content hashes. A unit starts from nothing, or from its own
checkpoints.
"""

import dataclasses
import json
import os
import time
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from espnet2.utils.cluster import Needs
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json, sha256_file, sha256_text, write_json, write_text
from espnet2.utils.launch import launch
from espnet2.utils.launch_local import redo_command
from espnet2.utils.logs import log
from espnet2.utils.markers import read_marker, stands, write_marker
from espnet2.utils.words import counted

NAMED = 20  # failed units on the terminal; the rest is in a file
KEPT_HASHES = 2**14  # few files are shared; those of one unit only need not be remembered
SETTLED_NS = 2 * 10**9  # a file this old cannot change again without a new time


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unit:
    """One resumable piece of a stage."""

    name: str
    """Unique in its stage; names the log file."""

    entry: str
    """``package.module:function`` that does the work; imported only when there is work."""

    kwargs: dict[str, Any]
    """Its arguments; paths as ``Path``, the rest as JSON can hold it."""

    marker: Path
    """File that says the unit is done, and for what."""

    inputs: list[Path] = dataclasses.field(default_factory=list)
    """Small files whose content decides the result."""

    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Options that decide the result."""

    outputs: list[Path] = dataclasses.field(default_factory=list)
    """Files that must exist afterwards."""

    gpus: int = 0
    """GPUs it uses; decides the kind of job on a cluster, not the result."""

    together: int = 1
    """How many units of the stage one process may do one after the other, so that what they load is
    loaded once. What one of them sets for the whole process (environment, signal handlers, threads,
    default types, seeds) the next would find: such entries must not share. The working directory
    and the log are each unit's own."""

    nodes: int = 1
    """Machines of a cluster it uses at once: the first does it, the others take part."""

    can_go_on: bool = False
    """Whether it saves its state when a SIGTERM asks it to stop, and goes on from there: then a job
    of a cluster whose time is up returns to the queue by itself."""


def fingerprint(unit: Unit) -> str:
    """Digest of everything that decides the unit's result.

    Raises:
        DataError: an input is missing.
    """
    try:
        content = [content_hash(path) for path in unit.inputs]
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        path = error.filename
        raise DataError(
            f"{unit.name} needs {path}, which is missing; run its stage first"
        ) from None
    return sha256_text(json.dumps([unit.entry, unit.options, content], sort_keys=True, default=str))


_hashes: dict[str, tuple[tuple[int, ...], str]] = {}  # path: its state when hashed, the hash


def content_hash(path: Path) -> str:
    """SHA-256 of a file; one that many units share is read once a process.

    It is known again by inode, size and time. A file of the last seconds is read each time, for
    two writes within one tick of the clock look alike.
    """
    key, about = os.fspath(path), os.stat(path)
    state = (about.st_ino, about.st_size, about.st_mtime_ns)
    if key in _hashes and _hashes[key][0] == state:
        return _hashes[key][1]
    digest = sha256_file(path)
    if time.time_ns() - about.st_mtime_ns > SETTLED_NS:
        if len(_hashes) >= KEPT_HASHES:
            _hashes.clear()
        _hashes[key] = (state, digest)
    return digest


def is_done(unit: Unit) -> bool:
    """Whether the marker stands for these inputs and options, with every output in place."""
    marker = read_marker(unit.marker)
    return marker is not None and stands(marker, unit.marker, fingerprint(unit))


def mark_done(unit: Unit, print_: str, result: Any) -> None:
    """Write the marker.

    Raises:
        DataError: the work ended without one of its outputs.
    """
    missing = [str(path) for path in unit.outputs if not Path(path).exists()]
    if missing:
        raise DataError(f"{unit.name} ended without writing {missing[0]}; this is a defect")
    write_marker(unit.marker, print_, unit.outputs, result)


def result_of(unit: Unit) -> Any:
    """What the unit's function returned when it last ran."""
    return read_json(unit.marker)["result"]


def run_units(units: Iterable[Unit], args: Namespace) -> int:
    """``failed_units`` as an exit status."""
    return 1 if failed_units(units, args) else 0


def failed_units(units: Iterable[Unit], args: Namespace) -> dict[str, str]:
    """Run the units that are not done; returns the last error line of each that failed, by name.

    Here ``args.nj`` at a time, or, of units with GPUs, as many as ``args.ngpu`` suffices for.
    Units are taken one by one, so an iterator of many is never held. Every failed unit is named
    with its last error line and the command that redoes only it.
    """
    names, pending, folders, needs = set(), [], set(), None
    for unit in units:
        assert unit.name not in names, f"two units have the name {unit.name}"
        names.add(unit.name)
        print_ = fingerprint(unit)
        if not stands(read_marker(unit.marker), unit.marker, print_):
            pending.append(write_spec(unit, print_, args.log_dir))
            needs = needs_with(unit, needs)
            folders.add(unit.marker.parent)
    if needs is None:
        log(f"up to date ({counted(len(names), 'unit')})")
        return {}
    failed = launch(pending, args, needs)
    for folder in folders:
        look_again(folder)
    places = {spec: place for place, spec in enumerate(pending)}
    failed = sorted(failed, key=lambda pair: places[pair[0]])
    name_failed(failed, args.log_dir)
    return {spec.stem: why for spec, why in failed}


def needs_with(unit: Unit, needs: Needs | None) -> Needs:
    """What ``unit`` and those before it (None: there are none) need."""
    needs = needs or Needs(together=unit.together, can_go_on=True)
    return Needs(
        gpus=max(needs.gpus, unit.gpus),
        together=min(needs.together, unit.together),
        nodes=max(needs.nodes, unit.nodes),
        can_go_on=needs.can_go_on and unit.can_go_on,
    )


def write_spec(unit: Unit, print_: str, log_dir: Path) -> Path:
    """The JSON from which ``work.py`` does the unit, in this directory."""
    path = log_dir / f"{unit.name}.json"
    spec = {**dataclasses.asdict(unit), "fingerprint": print_, "directory": os.getcwd()}
    write_json(path, json.loads(json.dumps(spec, default=str)), durable=False)
    return path


def look_again(folder: Path) -> None:
    """Open a folder, so that a network file system shows what other machines wrote into it."""
    if folder.is_dir():
        os.close(os.open(folder, os.O_RDONLY))


def name_failed(failed: list[tuple[Path, str]], log_dir: Path) -> None:
    """Say of each failed unit why, and how to redo it; of very many the rest goes to a file."""
    lines = [
        (
            f"{spec.stem} failed: {why}",
            f"  log {spec.with_suffix('.log')}; redo it alone: {redo_command(spec)}",
        )
        for spec, why in failed
    ]
    for line in (line for pair in lines[:NAMED] for line in pair):
        log(line)
    if len(lines) > NAMED:
        path = log_dir / "failed.txt"
        write_text(path, "\n".join(line for pair in lines for line in pair) + "\n")
        log(f"{len(lines)} units failed; all of them are in {path}")
