"""What every command line shares: options of a step, and errors as one line."""

import argparse
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

from espnet2.utils.errors import XeusError

DISK_ERRORS = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
WAYS_OUT = {
    errno.EEXIST: "a file is where a folder should be; move it away, or choose another folder",
    errno.ENOTDIR: "a file is where a folder should be; move it away, or choose another folder",
    errno.EFBIG: "it is larger than files may be here; raise that limit (ulimit -f)",
    errno.EROFS: "make that place writable, or choose another",
    errno.EACCES: "change the permissions, or choose another place",
    errno.EPERM: "change the permissions, or choose another place",
}
INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it
SOME_FAILED = 3  # exit status where units failed, but the next stage can work with the others


def step_parser(doc: str) -> argparse.ArgumentParser:
    """A parser with the options every step has; ``doc`` (a module docstring) is its help."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--conf", type=Path, required=True, help="the recipe YAML")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
        help="override one value of the recipe YAML; may be given again",
    )  # fmt: skip
    parser.add_argument("--nj", type=positive, default=1, help="parallel processes")
    parser.add_argument("--ngpu", type=int, default=0, help="GPUs to use")
    parser.add_argument(
        "--cluster", default="local", metavar="NAME",
        help="local, the name of a YAML in conf/cluster (slurm), or the path of one",
    )  # fmt: skip
    parser.add_argument("--log_dir", type=Path, default=Path("log"), help="a log file a unit")
    return parser


def positive(text: str) -> int:
    """A whole number of at least one, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def run_main(main: Callable[[], int | None]) -> None:
    """Run a command and end this process with its exit status."""
    sys.exit(exit_status(main))


def exit_status(main: Callable[[], int | None]) -> int:
    """Run a command; an expected error becomes one line on stderr and exit status 1."""
    try:
        return main() or 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except (XeusError, OSError) as error:
        if os.environ.get("XEUS_TRACEBACK"):
            raise
        print(f"{Path(sys.argv[0]).stem}: error: {describe(error)}", file=sys.stderr)
        return 1


def describe(error: Exception) -> str:
    """One line for a person; an operating-system error names its file."""
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        where = f" while writing {error.filename}" if error.filename else ""
        return f"{DISK_ERRORS[error.errno]}{where}; free some space and run the same command again"
    if isinstance(error, OSError) and error.filename:
        way_out = WAYS_OUT.get(error.errno)
        return f"{error.filename}: {error.strerror}" + (f": {way_out}" if way_out else "")
    return str(error)
