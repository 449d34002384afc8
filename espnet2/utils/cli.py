"""What every command line shares: options of a step, and errors as one line."""

import argparse
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

from espnet2.utils.errors import XeusError
from espnet2.utils.requirements import EXTRAS

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
BROKEN_PIPE = 141  # the same of a reader that closed the pipe
SOME_FAILED = 3  # exit status where units failed, but the next stage can work with the others


EXAMPLES = "\nexamples:\n"  # begins the last part of a command's docstring


def command_parser(doc: str) -> argparse.ArgumentParser:
    """A parser whose help is a module's docstring: what the command does, options, examples.

    ``doc``: its first line is a sentence, its last part begins with a line ``examples:``.
    """
    text, _, examples = doc.partition(EXAMPLES)
    return argparse.ArgumentParser(
        description=text.strip("\n"), epilog=EXAMPLES.strip("\n") + "\n" + examples.rstrip(),
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip


def step_parser(doc: str) -> argparse.ArgumentParser:
    """``command_parser`` with the options every step of a recipe has."""
    parser = command_parser(doc)
    add_conf(parser)
    parser.add_argument(
        "--nj", type=positive, default=1, metavar="N", help="parallel processes (default: 1)"
    )
    parser.add_argument(
        "--ngpu", type=int, default=0, metavar="N", help="GPUs to use (default: 0, the CPU)"
    )
    parser.add_argument(
        "--cluster", default="local", metavar="NAME",
        help="where units run: local (default), the name of a YAML in conf/cluster (slurm), or "
        "the path of one",
    )  # fmt: skip
    parser.add_argument(
        "--log_dir", type=Path, default=Path("log"), metavar="DIR",
        help="folder of the logs, a file a unit (default: log)",
    )  # fmt: skip
    return parser


def add_conf(parser: argparse.ArgumentParser) -> None:
    """The recipe's YAML, and single values of it."""
    parser.add_argument(
        "--conf", type=Path, required=True, metavar="FILE", help="the recipe's YAML"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
        help="override one value of that YAML; may be given again",
    )  # fmt: skip


def add_recordings(parser: argparse.ArgumentParser) -> None:
    """Which recordings a command hears; ``espnet2.data.recordings.chosen`` lists them."""
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument(
        "--wav", type=Path, nargs="+", metavar="FILE",
        help="audio files; the id is the file's name without its ending",
    )  # fmt: skip
    either.add_argument(
        "--wav_scp", type=Path, metavar="FILE",
        help="Kaldi list, sorted by id: 'id path' or 'id ark:offset'",
    )  # fmt: skip
    parser.add_argument(
        "--segments", type=Path, metavar="FILE",
        help="Kaldi segments of the list, 'id recording start end' (default: whole recordings)",
    )  # fmt: skip


def add_device(parser: argparse.ArgumentParser, batch_seconds: float, note: str = "") -> None:
    """Where a model computes, and how much audio at once; ``note`` ends the help of the latter."""
    parser.add_argument(
        "--device", default="cpu", metavar="NAME",
        help="cpu (default), cuda, or one GPU such as cuda:1",
    )  # fmt: skip
    parser.add_argument(
        "--batch_seconds", type=seconds, default=batch_seconds, metavar="S",
        help=f"seconds of audio in a batch, padding included (default: {batch_seconds:g}){note}",
    )  # fmt: skip


def positive(text: str) -> int:
    """A whole number of at least one, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def seconds(text: str) -> float:
    """A number of seconds (or hours) above 0, for argparse."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
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
    except BrokenPipeError:  # whoever read the output has enough of it: xeus tokens … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (XeusError, OSError) as error:
        if os.environ.get("XEUS_TRACEBACK"):
            raise
        print(f"{Path(sys.argv[0]).stem}: error: {describe(error)}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if (extra := EXTRAS.get(error.name or "")) is None:
            raise
        print(
            f"{Path(sys.argv[0]).stem}: error: {error.name} is not installed: "
            f"pip install 'xeus[{extra}]'", file=sys.stderr,
        )  # fmt: skip
        return 1


def describe(error: Exception) -> str:
    """One line for a person; an operating-system error names its file."""
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        where = f" while writing {error.filename}" if error.filename else ""
        return f"{DISK_ERRORS[error.errno]}{where}; free some space and run the same command again"
    if isinstance(error, OSError) and error.filename:
        way_out = WAYS_OUT.get(error.errno or 0)
        return f"{error.filename}: {error.strerror}" + (f": {way_out}" if way_out else "")
    return str(error)
