"""Units of work: what a stage redoes, and what it leaves alone.

A unit is done when its marker names the same options, the same content of its inputs, and outputs
that are still there. Inputs are small files (an index, a YAML); big payloads are covered because
the small files hold their content hashes. A unit starts from nothing, or from its own checkpoints.
"""

import dataclasses
import json
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json, sha256_file, sha256_text, write_json
from espnet2.utils.launch import launch
from espnet2.utils.logs import log


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


def fingerprint(unit: Unit) -> str:
    """Digest of everything that decides the unit's result.

    Raises:
        DataError: an input is missing.
    """
    missing = [str(path) for path in unit.inputs if not Path(path).is_file()]
    if missing:
        raise DataError(f"{unit.name} needs {missing[0]}, which is missing; run its stage first")
    content = [sha256_file(path) for path in unit.inputs]
    return sha256_text(json.dumps([unit.entry, unit.options, content], sort_keys=True, default=str))


def is_done(unit: Unit) -> bool:
    """Whether the marker stands for these inputs and options, with every output in place."""
    if not unit.marker.is_file():
        return False
    try:
        marker = read_json(unit.marker)
    except ValueError:
        return False
    outputs = [unit.marker.parent / path for path in marker["outputs"]]
    return marker["fingerprint"] == fingerprint(unit) and all(path.exists() for path in outputs)


def mark_done(unit: Unit, print_: str, result: Any) -> None:
    """Write the marker.

    Raises:
        DataError: the work ended without one of its outputs.
    """
    missing = [str(path) for path in unit.outputs if not Path(path).exists()]
    if missing:
        raise DataError(f"{unit.name} ended without writing {missing[0]}; this is a defect")
    outputs = [os.path.relpath(path, unit.marker.parent) for path in unit.outputs]
    write_json(unit.marker, {"fingerprint": print_, "outputs": outputs, "result": result})


def result_of(unit: Unit) -> Any:
    """What the unit's function returned when it last ran."""
    return read_json(unit.marker)["result"]


def run_units(units: list[Unit], args: Namespace) -> int:
    """Run the units that are not done, ``args.nj`` at a time; returns the exit status.

    Every failed unit is named with its last error line and the command that redoes only it.
    """
    names = [unit.name for unit in units]
    assert len(set(names)) == len(names), f"unit names must differ: {names}"
    pending = [unit for unit in units if not is_done(unit)]
    if not pending:
        log(f"up to date ({len(units)} unit{'s' * (len(units) != 1)})")
        return 0
    specs = []
    for unit in pending:
        unit.marker.unlink(missing_ok=True)
        specs.append(args.log_dir / f"{unit.name}.json")
        spec = {**dataclasses.asdict(unit), "fingerprint": fingerprint(unit)}
        write_json(specs[-1], json.loads(json.dumps(spec, default=str)))
    failed = launch(specs, args)
    for spec, last_line in failed:
        log(f"{spec.stem} failed: {last_line}")
        log(
            f"  log {spec.with_suffix('.log')}; redo it alone: python3 -m espnet2.utils.work {spec}"
        )
    return 1 if failed else 0
