#!/usr/bin/env python3
"""Say what this environment lacks and what for.

Usage: tools/check_install.py [--quick]

--quick checks only what stops everything: the Python version, another package named espnet2, and
the required packages; a problem is one line and exit status 1. Needs nothing but Python itself.
`xeus doctor` says more, once the packages are there.
"""

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE.parent / "espnet2/utils/requirements.py"


def load_requirements() -> ModuleType:
    """The lists, from their file: the package itself needs what they name."""
    spec = importlib.util.spec_from_file_location("requirements", REQUIREMENTS)
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True  # of a file that is not ours to compile
    spec.loader.exec_module(module)
    return module


requirements = load_requirements()
ENVIRONMENTS = {
    "espnet_venv": "ESPnet itself: test/peer, bench model",
    "s3prl_venv": "s3prl itself: test/peer, python3 -m espnet2.s3prl",
}


def table() -> None:
    """What is here, what is not, and what each thing is for."""
    for title, packages in (
        ("required", requirements.REQUIRED),
        ("optional", requirements.OPTIONAL),
    ):
        print(f"{title} packages ({sys.prefix}, Python {sys.version.split()[0]})")
        for package, purpose in packages.items():
            print(f"  {package:20} {requirements.version(package) or 'missing':16} {purpose}")
    print("programs")
    for program, purpose in requirements.PROGRAMS.items():
        print(f"  {program:20} {shutil.which(program) or 'missing':24} {purpose}")
    print("other environments")
    for name, purpose in ENVIRONMENTS.items():
        state = "present" if (HERE / name / ".installed").is_file() else "missing"
        print(f"  tools/{name:14} {state:16} {purpose}")
    free_gb = shutil.disk_usage(HERE).free / 1e9
    print(f"machine: {len(os.sched_getaffinity(0))} cores, {free_gb:.0f} GB of disk free here")


def main() -> int:
    """Print the findings; 1 where something stops everything."""
    if sys.argv[1:] not in ([], ["--quick"]):
        print(__doc__)
        return 0 if sys.argv[1:] in (["--help"], ["-h"]) else 2
    if "--quick" not in sys.argv:
        table()
    problems = requirements.stops_everything()
    for problem in problems:
        print(f"check_install: error: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
